//! What a file says once it is checked: no text left to interpret, every reference leads somewhere, every number is within its bounds.
//! Values may have come from an encrypted environment, so nothing here prints them: `Debug` of a service names it and no more.

mod health;
mod limits;
mod mount;
mod network;
mod project;
mod service;

pub use health::{DependsOn, DependsWhen, HealthPolicy, HealthTest, Healthcheck, RestartPolicy, RestartWhen};
pub use limits::{Capability, Device, Limits, Logging, Signal, ULIMIT_NAMES, Ulimit};
pub use mount::{FileMount, FileSource, Mount, MountSource, Tmpfs, Volume};
pub use network::{
    ExposedPort, ExtraHost, HostAddress, Ipam, Network, NetworkAttachment, NetworkMode, PortMapping,
    Protocol, Subnet,
};
pub use project::Project;
pub(crate) use service::is_account;
pub use service::{EnvFile, EnvFormat, Service, User};
