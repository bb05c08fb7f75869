//! Tests of kms-keys: known answers from the second implementation, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod certificates;
mod csr;
mod hpke;
mod local;
mod root_file;
mod sealed_file;
mod secrets;
mod signatures;
mod support;
mod vectors;
