//! Starts the agent.
#![forbid(unsafe_code)]

fn main() {}
