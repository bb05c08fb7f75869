//! What the runtime needs of an image: the process it describes and the snapshot its layers make.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// An image that is on this machine, unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Image {
    /// Its reference.
    pub(crate) reference: String,
    /// Digest of its manifest.
    pub(crate) digest: String,
    /// Snapshot of its layers.
    pub(crate) chain_id: String,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) user: String,
    pub(crate) working_dir: String,
    /// Paths that are volumes when the project mounts nothing there.
    pub(crate) volumes: Vec<String>,
    pub(crate) stop_signal: Option<String>,
    pub(crate) health: Option<ImageHealth>,
}

/// An image's health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ImageHealth {
    /// `CMD`, `CMD-SHELL` or `NONE`, then words.
    pub(crate) test: Vec<String>,
    pub(crate) interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) start_period: Option<Duration>,
    pub(crate) start_interval: Option<Duration>,
    pub(crate) retries: Option<u32>,
}
