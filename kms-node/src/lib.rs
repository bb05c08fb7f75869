//! The KMS service: verifies evidence, asks the chain, logs, then releases sealed keys.
//!
//! Everything here is I/O round `kms-protocol`. Refuses to start without a chain to answer to, and to release while the
//! node itself is not known to be allowed.
#![forbid(unsafe_code)]

mod app;
pub mod authority;
pub mod cli;
pub mod collateral;
pub mod config;
mod harden;
mod http;
mod limits;
pub mod local;
pub mod log;
mod metrics;
mod node;
mod release;
mod root;
mod selfcheck;
mod standing;
pub mod store;
mod tls;

pub use config::Config;
pub use http::{ApiError, openapi};
pub use node::{Deps, Node, RunningNode, StartError};
pub use root::{Bootstrapped, RootError, bootstrap, identity_report_data};
