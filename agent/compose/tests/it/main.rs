//! Tests of compose-file: what is read, what is refused and where, names and units, env files, the document of keys, the corpus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod corpus;
mod document;
mod properties;
mod read;
mod refuse;
mod support;
mod units;
