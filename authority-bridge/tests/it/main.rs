//! The bridge against real Anvil. Where a provider lies or fails, a proxy in front of Anvil does it on command.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    missing_docs
)]

mod audit;
mod cases;
mod collusion;
mod decisions;
mod dice;
mod differential;
mod evidence;
mod faults;
mod filed;
mod finality;
mod fixture;
mod gaps;
mod gate;
mod invariants;
mod legacy;
mod lies;
mod odd_apps;
mod oracle;
#[path = "../../../kms-node/tests/it/support/postgres.rs"]
mod postgres;
mod program;
mod quorum;
mod reorgs;
mod ring;
mod sidecar;
mod story;
mod world;
