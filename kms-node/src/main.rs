//! Starts and stops the node.
fn main() {}
