//! The disk's pure parts (markers, the header template, what is done with which disk), and the whole of it in a VM.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod headers;
mod inside;
mod plans;
mod vm;
