//! What is told about containers to those who ask.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::blueprint::{Blueprint, Connection};
use crate::engine::health::Health;
use crate::engine::machine::{Phase, View};
use crate::network::cni::PublishedPort;

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Waits for what it depends on.
    Waiting,
    /// Is being started.
    Starting,
    /// Runs.
    Running,
    /// Ended; will be started again.
    Restarting,
    /// Ended, and stays so.
    Exited,
    /// Could not be started.
    Failed,
    /// Is being stopped.
    Stopping,
    /// Was stopped.
    Stopped,
}

/// One container of the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerStatus {
    /// Its id, which is also its name.
    pub id: String,
    /// Service.
    pub service: String,
    /// Number within the service, from 1.
    pub index: u16,
    /// Image reference.
    pub image: String,
    /// Digest of the image's manifest.
    pub image_digest: String,
    /// State.
    pub state: ContainerState,
    /// Process id on the host while it runs.
    pub pid: Option<u32>,
    /// Health, when it has a check and runs.
    pub health: Option<Health>,
    /// Times it was started again since the supervisor began.
    pub restarts: u32,
    /// Code of its last exit.
    pub exit_code: Option<u32>,
    /// Whether the kernel's memory killer ended it.
    pub out_of_memory: bool,
    /// Why it failed.
    pub message: Option<String>,
    /// Addresses, by network.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// Published ports.
    pub ports: Vec<PublishedPort>,
}

pub(super) fn status(
    blueprint: &Blueprint,
    view: &View,
    addresses: BTreeMap<String, Ipv4Addr>,
) -> ContainerStatus {
    let (state, pid, message) = match &view.phase {
        Phase::Waiting => (ContainerState::Waiting, None, None),
        Phase::Starting => (ContainerState::Starting, None, None),
        Phase::Running { pid, .. } => (ContainerState::Running, Some(*pid), None),
        Phase::Backoff { .. } => (ContainerState::Restarting, None, None),
        Phase::Exited => (ContainerState::Exited, None, None),
        Phase::Failed { reason } => (ContainerState::Failed, None, Some(reason.clone())),
        Phase::Stopping => (ContainerState::Stopping, None, None),
        Phase::Stopped => (ContainerState::Stopped, None, None),
    };
    ContainerStatus {
        id: blueprint.id.clone(),
        service: blueprint.service.clone(),
        index: blueprint.index,
        image: blueprint.image.reference.clone(),
        image_digest: blueprint.image.digest.clone(),
        state,
        pid,
        health: view.health,
        restarts: view.restarts,
        exit_code: view.exit.map(|(code, _)| code),
        out_of_memory: view.exit.is_some_and(|(_, oom)| oom),
        message,
        addresses,
        ports: match &blueprint.connection {
            Connection::Bridges(wishes) => wishes.ports.clone(),
            _ => Vec::new(),
        },
    }
}
