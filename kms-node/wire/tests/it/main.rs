//! Tests of kms-wire: every message against its example from the second implementation, bounds, and bytes both ends hash.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod boot_auth;
mod bounds;
mod messages;
mod problems;
mod secrets;
mod transcripts;
