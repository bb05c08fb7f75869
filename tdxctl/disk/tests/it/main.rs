//! The disk's pure parts: markers, the header template, what is done with which disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod headers;
mod plans;
