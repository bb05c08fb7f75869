//! Integration tests: real Intel quotes and collateral, simulated platforms, corrupted evidence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod boot;
mod corruption;
mod events;
mod image_proof;
mod real_quotes;
mod samples;
mod shape;
mod simulated;
mod warm;
