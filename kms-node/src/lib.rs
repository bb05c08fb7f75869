//! The KMS service: verifies evidence, asks the chain, logs, then releases sealed keys.
//!
//! Everything here is I/O round `kms-protocol`. Refuses to start without a chain to answer to.
#![forbid(unsafe_code)]

pub mod config;
pub mod log;
pub mod store;
