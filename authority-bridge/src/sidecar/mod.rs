//! The service: dstack's `bootAuth` webhook over proven decisions, for a KMS that asks by URL.
//!
//! Refuses fields of another length than theirs, and to say "allowed" for anything but a decision that was proven: what
//! cannot be asked is an error of its own, with `isAllowed: false` for callers that look no further.

mod answer;
mod app;
pub mod cli;
mod config;
mod edge;
mod floor;
mod health;
mod metrics;
mod routes;
mod serve;
mod service;

pub use config::{DEFAULT, ENV_PREFIX, SidecarConfig};
pub use routes::openapi;
pub use service::{Service, StartError};
