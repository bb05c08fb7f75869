//! Looks into built images: what is in them, what can run in them, what the kernel is told. And that each rule finds what breaks it. What the parsers of
//! the build refuse, and the guest's script for DHCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod address;
mod broken;
mod built;
mod opened;
mod parsers;
mod rules;
mod trees;
