//! Tests of app-manifest: documents, names of the environment, both encryptions against the second implementation, gateway names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod compose;
mod env_name;
mod env_v1;
mod env_v2;
mod gateway_name;
mod support;
mod text;
