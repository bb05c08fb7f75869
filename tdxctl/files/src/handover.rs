//! The hand-over document: every fact about this boot that the agent works with. No secret stands in it.

use crate::{FileError, file};
use kms_types::{AppId, ChainAddress, ChainId, ComposeHash, InstanceId, InstanceSeed, OsImageHash, UnixTime};
use kms_wire::EpochIdentity;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{collections::BTreeMap, path::PathBuf};

/// Bytes of a hand-over document.
pub const MAX_HANDOVER: usize = 1 << 20;

/// The version of the document; any other is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandOverVersion;

impl Serialize for HandOverVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(1)
    }
}

impl<'de> Deserialize<'de> for HandOverVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format_args!("expected version 1, got {other}"))),
        }
    }
}

/// Where the keys of this boot came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootMode {
    /// A KMS that asked the chain.
    Kms,
    /// A provider on the same host.
    Local,
    /// Nowhere: made fresh, gone with the boot.
    None,
}

/// Payload of the `key-provider` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyProviderInfo {
    /// `kms`, `local-sgx` or `none`, as dstack.
    pub name: String,
    /// Its identity, hex; empty for `none`.
    pub id: String,
}

/// How the agent reaches the KMS that released the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmsAccess {
    /// Addresses of its nodes, https, in the order to ask.
    pub urls: Vec<String>,
    /// Who must answer there.
    pub pin: EpochIdentity,
    /// Chain of the decision that released the keys.
    pub chain_id: ChainId,
    /// Its authority contract.
    pub contract: ChainAddress,
}

/// What the storage stage opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// By which backend.
    pub kind: StorageKind,
    /// True only when everything written there is encrypted under the instance's disk key.
    pub encrypted: bool,
    /// Where it is.
    pub path: PathBuf,
    /// Generation of the disk since this boot opened it; where the backend counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Serial of the disk whose generation the agent counts on at each lease; none where nothing requires it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<String>,
}

/// A backend of the storage stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// A plain folder, not encrypted.
    Directory,
    /// An encrypted disk.
    Luks2,
}

/// Where images come from. Nothing here is trusted: images are pinned by digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registries {
    /// Registry host to its mirrors, in the order to ask.
    #[serde(default)]
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Hosts that are asked over plain http.
    #[serde(default)]
    pub insecure: Vec<String>,
}

/// Every fact about this boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// Form of the document.
    pub version: HandOverVersion,
    /// The app.
    pub app_id: AppId,
    /// Its name, as its compose document says.
    pub app_name: String,
    /// The instance; zero for an app without instance ids.
    pub instance_id: InstanceId,
    /// What the instance id was derived from.
    pub instance_seed: Option<InstanceSeed>,
    /// The measured compose document.
    pub compose_hash: ComposeHash,
    /// The OS image.
    pub os_image_hash: OsImageHash,
    /// Where the keys came from.
    pub boot_mode: BootMode,
    /// As it stands in the event log.
    pub key_provider: KeyProviderInfo,
    /// The KMS; none in the other two modes.
    pub kms: Option<KmsAccess>,
    /// Proof that this TD's registers are of the OS image.
    #[serde(with = "hex::serde")]
    pub image_proof: Vec<u8>,
    /// The VMM's description of the VM, as text.
    pub vm_config: String,
    /// What the storage stage opened.
    pub storage: Storage,
    /// Version of the environment that was accepted; none when there is no environment, or one without a version.
    pub env_version: Option<u64>,
    /// Where images come from.
    #[serde(default)]
    pub registries: Registries,
    /// The TD, as `tdxctl --td` names it.
    pub td: String,
    /// True when the TD is a simulated one.
    pub simulated: bool,
    /// When setup was done.
    pub booted_at: UnixTime,
}

pub(crate) fn write(path: &std::path::Path, handover: &HandOver) -> Result<(), FileError> {
    let text = serde_json::to_vec_pretty(handover).map_err(|error| FileError::Io {
        path: path.to_owned(),
        action: "could not be put into words",
        source: error.into(),
    })?;
    file::write_private(path, &text)
}

pub(crate) fn read(path: &std::path::Path) -> Result<HandOver, FileError> {
    file::read_json(path, MAX_HANDOVER, "a hand-over document of version 1")
}
