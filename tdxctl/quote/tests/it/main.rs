//! Tests of the ways to a TD. The kernel's files are played by named pipes, which block as configfs does not but keep
//! both sides in step, byte for byte: whatever the client writes or reads out of turn never meets its counterpart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod extend;
mod kernel;
mod messages;
mod report;
mod socket;
