//! Tests of kms-types: parsing at the edge, and known answers from the second implementation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod parsing;
mod vectors;
