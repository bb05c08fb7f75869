//! ABI of the Kedge contracts in Rust.
#![forbid(unsafe_code)]
