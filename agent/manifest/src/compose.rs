//! app-compose.json as its owner wrote it: the bytes are hashed as they are, the fields are read once.
//!
//! Refuses documents above 1 MiB or 16 levels, keys that come twice, values beyond their bounds, unknown requirements, names the
//! environment may not have. Other unknown keys are ignored, as dstack does, and told.

use crate::{
    env_name::EnvName,
    fields,
    json::{self, JsonError},
    requirements::Requirements,
};
use kms_types::{ComposeHash, KmsIdentity, ParseBytesError};
use serde::Deserialize;
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

/// Who runs the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runner {
    /// Containers of `docker_compose_file`.
    DockerCompose,
    /// `bash_script`.
    Bash,
}

/// Where an app's keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyProvider {
    /// A KMS.
    Kms,
    /// A key provider of the host.
    Local,
    /// None: keys end with the instance.
    None,
}

/// File system of the app's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageFs {
    /// ext4.
    Ext4,
    /// ZFS.
    Zfs,
}

/// Which ports a gateway forwards to, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PortPolicy {
    /// Ports with properties of their own.
    pub ports: Vec<PortAttributes>,
    /// Nothing but the ports listed.
    pub restrict_mode: bool,
}

/// One port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct PortAttributes {
    /// The port.
    pub port: u16,
    /// The gateway sends a PROXY protocol header.
    #[serde(default)]
    pub pp: bool,
}

/// The fields of the document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AppCompose {
    /// Version of the document, 1 to 3.
    #[serde(deserialize_with = "fields::manifest_version")]
    pub manifest_version: u32,
    /// Name for people.
    pub name: String,
    /// Who runs the app.
    pub runner: Runner,
    /// Compose file, in full.
    #[serde(default)]
    pub docker_compose_file: Option<String>,
    /// Script of the runner `bash`.
    #[serde(default)]
    pub bash_script: Option<String>,
    /// Script before the app starts.
    #[serde(default)]
    pub pre_launch_script: Option<String>,
    /// Scripts early in the boot; each is measured.
    #[serde(default, deserialize_with = "fields::init_scripts")]
    pub init_script: Vec<String>,
    /// Logs are public.
    #[serde(default)]
    pub public_logs: bool,
    /// System information is public.
    #[serde(default)]
    pub public_sysinfo: bool,
    /// Measurements are public.
    #[serde(default = "yes")]
    pub public_tcbinfo: bool,
    /// Legacy form of `key_provider`; ask [`AppCompose::key_provider`].
    #[serde(default)]
    pub kms_enabled: bool,
    /// Ask [`AppCompose::behind_gateway`].
    #[serde(default)]
    pub gateway_enabled: bool,
    /// Older name of `gateway_enabled`.
    #[serde(default)]
    pub tproxy_enabled: bool,
    /// Legacy form of `key_provider`; ask [`AppCompose::key_provider`].
    #[serde(default)]
    pub local_key_provider_enabled: bool,
    /// As written; ask [`AppCompose::key_provider`].
    #[serde(default, rename = "key_provider")]
    pub stated_key_provider: Option<KeyProvider>,
    /// Pinned identity of the key provider; ask [`AppCompose::pinned_kms`].
    #[serde(default, deserialize_with = "fields::hex_bytes")]
    pub key_provider_id: Vec<u8>,
    /// Names the environment may have.
    #[serde(default)]
    pub allowed_envs: BTreeSet<EnvName>,
    /// Instances have no id of their own.
    #[serde(default)]
    pub no_instance_id: bool,
    /// The app starts only after the time is authenticated.
    #[serde(default = "yes")]
    pub secure_time: bool,
    /// File system of the disk; absent: the image's choice.
    #[serde(default)]
    pub storage_fs: Option<StorageFs>,
    /// Bytes of encrypted swap.
    #[serde(default, deserialize_with = "fields::size")]
    pub swap_size: u64,
    /// What a gateway forwards.
    #[serde(default)]
    pub port_policy: PortPolicy,
    /// What the guest must have.
    #[serde(default)]
    pub requirements: Option<Requirements>,
    /// Images need not be pinned by digest (ours).
    #[serde(default)]
    pub allow_mutable_images: bool,
    /// Seconds the app goes on when its lease cannot be renewed (ours); absent: the agent's choice.
    #[serde(default)]
    pub lease_grace_s: Option<u32>,
}

/// Every key above, as it is written.
const KNOWN: [&str; 25] = [
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
];

fn yes() -> bool {
    true
}

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
        let faults = compose.faults();
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

impl AppCompose {
    /// Where keys come from: what is stated, else what the legacy flags say.
    pub fn key_provider(&self) -> KeyProvider {
        match self.stated_key_provider {
            Some(stated) => stated,
            None if self.kms_enabled => KeyProvider::Kms,
            None if self.local_key_provider_enabled => KeyProvider::Local,
            None => KeyProvider::None,
        }
    }

    /// True when the app registers with a gateway, by the new or the old name of the flag.
    pub fn behind_gateway(&self) -> bool {
        self.gateway_enabled || self.tproxy_enabled
    }

    /// Identity of the one KMS this app takes keys from, when it names one.
    ///
    /// # Errors
    /// When `key_provider_id` is of another length, as that of a provider that is no KMS of ours.
    pub fn pinned_kms(&self) -> Result<Option<KmsIdentity>, ParseBytesError> {
        if self.key_provider_id.is_empty() {
            return Ok(None);
        }
        KmsIdentity::try_from(self.key_provider_id.as_slice()).map(Some)
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut bound = |field: &str, max: usize, actual: usize| {
            if actual > max {
                faults.push(format!("{field}: expected at most {max}, got {actual}"));
            }
        };
        bound("name", MAX_NAME, self.name.len());
        bound("allowed_envs", MAX_ALLOWED_ENVS, self.allowed_envs.len());
        bound("key_provider_id", MAX_KEY_PROVIDER_ID, self.key_provider_id.len());
        bound("port_policy.ports", MAX_PORTS, self.port_policy.ports.len());
        bound(
            "lease_grace_s",
            MAX_LEASE_GRACE as usize,
            self.lease_grace_s.unwrap_or(0) as usize,
        );
        if self.name.is_empty() || self.name.contains(char::is_control) {
            faults.push("name: expected text without control characters, got none or another".to_owned());
        }
        let (field, script) = match self.runner {
            Runner::DockerCompose => ("docker_compose_file", &self.docker_compose_file),
            Runner::Bash => ("bash_script", &self.bash_script),
        };
        if script.as_ref().is_none_or(String::is_empty) {
            faults.push(format!("{field}: expected what the runner runs, got none"));
        }
        let mut ports = BTreeSet::new();
        if !self
            .port_policy
            .ports
            .iter()
            .all(|p| p.port != 0 && ports.insert(p.port))
        {
            faults.push("port_policy.ports: expected each port from 1 to 65535 once".to_owned());
        }
        if let Some(requirements) = &self.requirements {
            faults.extend(requirements.faults());
            // An older reader takes the document and passes over what it requires.
            if self.manifest_version < REQUIREMENTS_SINCE {
                faults.push(format!(
                    "requirements: expected manifest_version \"{REQUIREMENTS_SINCE}\", got {}",
                    self.manifest_version
                ));
            }
        }
        faults
    }
}
