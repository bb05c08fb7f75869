//! Integration tests of the bindings against real Anvil and `cast`, both from `contracts/node_modules`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod abi;
mod answer;
mod deploy;
mod event;
mod fixture;
