//! Debian packages by name, locked to files by hash.

pub mod control;
pub mod lock;
pub mod mirror;
pub mod resolve;
