//! Builds the measured guest image from Debian packages that a lock file names by version and SHA-256.
//!
//! Packages are unpacked without running their scripts into a [`tree::Tree`] in memory; everything a script would have made
//! (links, the certificate bundle, users) is made here. What is written is a function of the lock, this repository and nothing else.
#![forbid(unsafe_code)]

pub mod archive;
pub mod build;
pub mod deb;
pub mod packages;
pub mod tools;
pub mod tree;
