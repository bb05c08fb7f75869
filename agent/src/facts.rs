//! What is known of the instance and may be shown to its operator: no secret is in here.

use app_manifest::{AppManifest, Runner};
use kms_types::{AppId, ComposeHash, InstanceId, OsImageHash, UnixTime};
use serde::Serialize;

/// The instance.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// The app.
    pub app_id: AppId,
    /// Its name.
    pub app_name: String,
    /// The instance; zero for an app without instance ids.
    pub instance_id: InstanceId,
    /// Its compose document.
    pub compose_hash: ComposeHash,
    /// Its OS image.
    pub os_image_hash: OsImageHash,
    /// `kms`, `local`, `none`.
    pub boot_mode: String,
    /// What runs it: `docker-compose`, `bash`.
    pub runner: &'static str,
    /// Name of the key provider.
    pub key_provider: String,
    /// Its id.
    pub key_provider_id: String,
    /// Addresses of the KMS.
    pub kms_urls: Vec<String>,
    /// `directory`, `luks2`.
    pub storage: String,
    /// Whether what is stored is encrypted.
    pub storage_encrypted: bool,
    /// Version of the environment.
    pub env_version: Option<u64>,
    /// Whether this is a simulation that protects nothing.
    pub simulated: bool,
    /// When the guest had booted.
    pub booted_at: UnixTime,
    /// What the public may see.
    pub public: Public,
    /// Version of this program.
    pub agent_version: &'static str,
}

/// What the public may see, as the compose document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Public {
    /// Logs.
    pub logs: bool,
    /// Load, memory, disk, containers and metrics.
    pub sysinfo: bool,
    /// Measurements.
    pub tcbinfo: bool,
}

impl Public {
    /// As a compose document says.
    pub fn of(manifest: &AppManifest) -> Self {
        let compose = manifest.compose();
        Self {
            logs: compose.public_logs,
            sysinfo: compose.public_sysinfo,
            tcbinfo: compose.public_tcbinfo,
        }
    }
}

/// Name of a runner.
pub(crate) const fn runner_name(runner: Runner) -> &'static str {
    match runner {
        Runner::DockerCompose => "docker-compose",
        Runner::Bash => "bash",
    }
}
