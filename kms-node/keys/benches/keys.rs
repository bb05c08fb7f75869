//! Cost of what a release does with keys.
fn main() {}
