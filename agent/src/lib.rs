//! Guest runtime: the app socket and the keys behind it.
#![forbid(unsafe_code)]

pub mod keys;
pub mod socket;
