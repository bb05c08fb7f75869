//! A compose project on containerd: images, containers, networks, names, volumes, logs, health, restarts.
//!
//! `up` is a reconciliation: what runs as the project says is taken over as it is, the rest is made, made anew or removed. It
//! can be run again after the agent, containerd or the machine stopped at any point. What a file asks for and this runtime has
//! no means for is an error, never ignored.
#![forbid(unsafe_code)]

mod beneath;
mod blueprint;
mod config;
mod containerd;
mod engine;
mod error;
mod files;
mod image;
pub mod images;
pub mod logs;
mod network;
mod rootfs;
mod runtime;
mod shell;
mod spec;

pub use config::{RuntimeConfig, SubnetPool};
pub use engine::health::Health;
pub use error::{ContainerFailure, FailureKind, RuntimeError};
pub use network::NetworkError;
pub use network::cni::PublishedPort;
pub use runtime::{LogEntry, Progress, Running, Runtime};
pub use shell::status::{ContainerState, ContainerStatus};
