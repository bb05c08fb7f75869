//! The runtime on a real containerd.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod adopt;
mod compose_suite;
mod confine;
mod depend;
mod files;
mod images;
mod lab;
mod logs;
mod network;
mod restart;
mod single;
