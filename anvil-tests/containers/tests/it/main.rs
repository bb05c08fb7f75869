//! Tests of `container-lab`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod containerd;
mod image;
mod registry;
