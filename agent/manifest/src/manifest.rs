//! app-compose.json as its owner wrote it: the bytes are hashed as they are, the fields are read once.
//!
//! Refuses documents above 1 MiB or 16 levels, keys that come twice, values beyond their bounds, unknown requirements, names the
//! environment may not have. Other unknown keys are ignored, as dstack does, and told.

use crate::{
    compose::{AppCompose, Runner},
    json::{self, JsonError},
};
use kms_types::ComposeHash;
use std::collections::BTreeSet;

/// Bytes of a document.
pub const MAX_COMPOSE: usize = 1 << 20;
/// Bytes of a name.
pub const MAX_NAME: usize = 255;
/// Names in `allowed_envs`.
pub const MAX_ALLOWED_ENVS: usize = 1024;
/// Bytes of `key_provider_id`.
pub const MAX_KEY_PROVIDER_ID: usize = 1024;
/// Entries of `port_policy.ports`.
pub const MAX_PORTS: usize = 1024;
/// Addresses in `env_signers`.
pub const MAX_ENV_SIGNERS: usize = 16;
/// Seven days.
pub const MAX_LEASE_GRACE: u32 = 7 * 24 * 3600;
/// First version of the document whose readers know `requirements`.
const REQUIREMENTS_SINCE: u32 = 3;

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// Above the bound.
    #[error("app-compose.json: expected at most {MAX_COMPOSE} bytes, got {actual}")]
    TooLong {
        /// What came.
        actual: usize,
    },
    /// Not the JSON it should be.
    #[error("app-compose.json: {0}")]
    Json(JsonError),
    /// Well-formed, and not usable: everything that is wrong.
    #[error("app-compose.json: {}", .0.join("; "))]
    Fields(Vec<String>),
}

/// Every key of [`AppCompose`], as it is written.
const KNOWN: [&str; 28] = [
    "manifest_version",
    "name",
    "runner",
    "docker_compose_file",
    "bash_script",
    "pre_launch_script",
    "init_script",
    "public_logs",
    "public_sysinfo",
    "public_tcbinfo",
    "kms_enabled",
    "gateway_enabled",
    "tproxy_enabled",
    "local_key_provider_enabled",
    "key_provider",
    "key_provider_id",
    "allowed_envs",
    "no_instance_id",
    "secure_time",
    "storage_fs",
    "swap_size",
    "port_policy",
    "requirements",
    "allow_mutable_images",
    "lease_grace_s",
    "env_signers",
    "env_min_version",
    "allow_any_kms",
];

/// A document that passed every check, with the hash of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppManifest {
    compose: AppCompose,
    hash: ComposeHash,
    unknown: Vec<String>,
}

impl AppManifest {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is too long, not the JSON it should be, or its fields do not hold together.
    pub fn parse(document: &[u8]) -> Result<Self, ComposeError> {
        if document.len() > MAX_COMPOSE {
            return Err(ComposeError::TooLong {
                actual: document.len(),
            });
        }
        let keys = json::top_level_keys(document).map_err(ComposeError::Json)?;
        let compose: AppCompose =
            serde_json::from_slice(document).map_err(|e| ComposeError::Json(JsonError::from(e)))?;
        let faults = faults(&compose);
        if !faults.is_empty() {
            return Err(ComposeError::Fields(faults));
        }
        Ok(Self {
            compose,
            hash: ComposeHash::of(document),
            unknown: keys
                .into_iter()
                .filter(|key| !KNOWN.contains(&key.as_str()))
                .collect(),
        })
    }

    /// The fields.
    pub fn compose(&self) -> &AppCompose {
        &self.compose
    }

    /// SHA-256 of the bytes as they came: what the contract allows and the guest measures.
    pub fn hash(&self) -> ComposeHash {
        self.hash
    }

    /// Outermost keys that nothing here reads: a newer field, or a slip of the pen.
    pub fn unknown_keys(&self) -> &[String] {
        &self.unknown
    }
}

/// Everything that keeps the fields from holding together.
fn faults(compose: &AppCompose) -> Vec<String> {
    let mut faults = Vec::new();
    let mut bound = |field: &str, max: usize, actual: usize| {
        if actual > max {
            faults.push(format!("{field}: expected at most {max}, got {actual}"));
        }
    };
    bound("name", MAX_NAME, compose.name.len());
    bound("allowed_envs", MAX_ALLOWED_ENVS, compose.allowed_envs.len());
    bound(
        "key_provider_id",
        MAX_KEY_PROVIDER_ID,
        compose.key_provider_id.len(),
    );
    bound("env_signers", MAX_ENV_SIGNERS, compose.env_signers.len());
    bound("port_policy.ports", MAX_PORTS, compose.port_policy.ports.len());
    bound(
        "lease_grace_s",
        MAX_LEASE_GRACE as usize,
        compose.lease_grace_s.unwrap_or(0) as usize,
    );
    if compose.name.is_empty() || compose.name.contains(char::is_control) {
        faults.push("name: expected text without control characters, got none or another".to_owned());
    }
    let (field, script) = match compose.runner {
        Runner::DockerCompose => ("docker_compose_file", &compose.docker_compose_file),
        Runner::Bash => ("bash_script", &compose.bash_script),
    };
    if script.as_ref().is_none_or(String::is_empty) {
        faults.push(format!("{field}: expected what the runner runs, got none"));
    }
    let mut ports = BTreeSet::new();
    if !compose
        .port_policy
        .ports
        .iter()
        .all(|p| p.port != 0 && ports.insert(p.port))
    {
        faults.push("port_policy.ports: expected each port from 1 to 65535 once".to_owned());
    }
    if let Some(requirements) = &compose.requirements {
        faults.extend(requirements.faults());
        // An older reader takes the document and passes over what it requires.
        if compose.manifest_version < REQUIREMENTS_SINCE {
            faults.push(format!(
                "requirements: expected manifest_version \"{REQUIREMENTS_SINCE}\", got {}",
                compose.manifest_version
            ));
        }
    }
    faults
}
