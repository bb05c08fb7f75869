//! The fields of app-compose.json.
//!
//! Refuses values of other types and names the environment may not have; what else must hold is asked in `manifest.rs`.

use crate::{env_name::EnvName, fields, requirements::Requirements};
use kms_types::{ChainAddress, KmsIdentity, ParseBytesError};
use serde::Deserialize;
use std::collections::BTreeSet;

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
    /// The app starts only after the time is authenticated; absent: it is not asked for.
    #[serde(default)]
    pub secure_time: Option<bool>,
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
    /// Who may sign the app's environment: its owner and the deployers the owner names by allowing this document. With a signer
    /// named, an environment nobody signed (version 1) is refused.
    #[serde(default)]
    pub env_signers: Vec<ChainAddress>,
    /// Least version of a signed environment (ours): what a fresh instance, which has accepted none yet, goes by.
    #[serde(default)]
    pub env_min_version: u64,
    /// Whoever starts the app may name the KMS (ours). Without it an app that takes keys from a KMS names the one it means.
    #[serde(default)]
    pub allow_any_kms: bool,
}

fn yes() -> bool {
    true
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
}
