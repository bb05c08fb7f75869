//! Proofs, execution over proven state, and what may be carried from block to block. No chain is needed: tries are built here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    missing_docs
)]

mod bundle;
mod carry;
mod execution;
mod proofs;
mod receipts;
mod world;
