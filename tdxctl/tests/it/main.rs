//! Transcripts of every command, over simulated TDs, real quotes, and a KMS whose chain is made up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod ccel;
mod guest;
mod kms;
mod leases;
mod local;
mod luks;
mod on_chain;
mod rand;
mod release;
mod replay;
mod run;
mod seal;
mod setup;
mod setup_kill;
mod td;
mod usage;
mod verify;
mod verify_boot;
