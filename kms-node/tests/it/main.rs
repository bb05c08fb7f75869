//! Integration tests of the node: real HTTP over TLS, real databases, real quotes of a simulated platform and its collateral
//! service. What the chain says is scripted here; the scenarios on a real chain are in `anvil-tests`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub
)]

mod chain_store;
mod collateral;
mod decisions;
mod documents;
mod http;
mod kill;
mod local;
mod log;
mod program;
mod releases;
mod root;
mod standing;
mod support;
