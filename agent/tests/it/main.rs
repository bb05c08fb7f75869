//! Tests of the agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod service;
mod socket;
