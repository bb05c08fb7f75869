//! A container on paper: everything the project, the image and the environment say about it, resolved, and a digest of all
//! that. What only exists once it runs (addresses, process ids) is not here.

mod build;
mod digest;
mod environment;
mod health;
mod mounts;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use compose_file::{Limits, Ulimit};
use serde::Serialize;

use crate::engine::health::HealthPlan;
use crate::engine::{Dependency, Desired, Restart};
use crate::image::Image;
use crate::network::manager::Wishes;

pub(crate) use build::{Context, build};

/// How a container is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Connection {
    /// Networks of the project.
    Bridges(Wishes),
    /// Loopback only.
    Alone,
    /// The host's network.
    Host,
    /// The network of this container.
    Of(String),
}

/// Something mounted into a container.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) enum MountPlan {
    Bind {
        /// Absolute, or below the folder of the project.
        source: PathBuf,
        /// That folder, for a source below it.
        project: Option<PathBuf>,
        target: String,
        read_only: bool,
        recursive: bool,
        create: bool,
    },
    Volume {
        folder: PathBuf,
        subpath: Option<String>,
        target: String,
        read_only: bool,
        copy: bool,
    },
    Tmpfs {
        target: String,
        read_only: bool,
        options: Vec<String>,
    },
    /// A secret or config: bytes that go to a file on a tmpfs.
    File {
        name: String,
        target: String,
        content: SecretContent,
        uid: u32,
        gid: u32,
        mode: u32,
    },
}

/// Bytes that must not be printed.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SecretContent(pub(crate) Vec<u8>);

/// A device of the host.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DevicePlan {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) permissions: String,
}

/// A health check.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) args: Vec<String>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) start_period: Duration,
    pub(crate) start_interval: Duration,
}

/// A container on paper. No `Debug`: its environment may hold secrets.
#[derive(Clone, Serialize)]
pub(crate) struct Blueprint {
    pub(crate) id: String,
    pub(crate) project: String,
    pub(crate) service: String,
    pub(crate) index: u16,
    pub(crate) image: Image,
    pub(crate) args: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) cwd: String,
    pub(crate) user: String,
    pub(crate) group_add: Vec<String>,
    pub(crate) hostname: String,
    pub(crate) domainname: Option<String>,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) connection: Connection,
    pub(crate) cap_add: Vec<String>,
    pub(crate) cap_drop: Vec<String>,
    pub(crate) privileged: bool,
    pub(crate) read_only: bool,
    pub(crate) no_new_privileges: bool,
    pub(crate) devices: Vec<DevicePlan>,
    pub(crate) sysctls: BTreeMap<String, String>,
    pub(crate) ulimits: BTreeMap<String, Ulimit>,
    pub(crate) limits: Limits,
    pub(crate) shm_size: u64,
    pub(crate) init: Option<PathBuf>,
    pub(crate) tty: bool,
    pub(crate) stdin_open: bool,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Names and addresses for its hosts file; no address: the gateway.
    pub(crate) extra_hosts: Vec<(String, Option<IpAddr>)>,
    pub(crate) dns: Vec<IpAddr>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) check: Option<Check>,
    pub(crate) stop_signal: u32,
    pub(crate) stop_grace: Duration,
    pub(crate) log_max_size: u64,
    pub(crate) log_max_file: u32,
    #[serde(skip)]
    pub(crate) restart: Restart,
    #[serde(skip)]
    pub(crate) restart_delay: Option<Duration>,
    #[serde(skip)]
    pub(crate) depends: Vec<Dependency>,
}

impl Blueprint {
    /// What the engine needs to know.
    pub(crate) fn desired(&self) -> Desired {
        let network_of = match &self.connection {
            Connection::Of(id) => Some(id.clone()),
            _ => None,
        };
        Desired {
            id: self.id.clone(),
            digest: digest::digest(self),
            depends: self.depends.clone(),
            network_of,
            restart: self.restart,
            restart_delay: self.restart_delay,
            health: self.check.as_ref().map(|check| HealthPlan {
                interval: check.interval,
                timeout: check.timeout,
                retries: check.retries,
                start_period: check.start_period,
                start_interval: check.start_interval,
            }),
        }
    }
}
