//! Looks into built images: what is in them, what can run in them, what the kernel is told. And that each rule finds what breaks it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod broken;
mod built;
mod opened;
mod rules;
