//! What a network in a folder is: enough to find it while it runs and to go on with it after it stopped.

use crate::folder::{Folder, write_private};
use anyhow::{Context, Result};
use kms_types::{AppId, AttestationRoot, ChainAddress, ChainId, KeyEpoch, KmsIdentity, OsImageHash};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A development network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Its chain.
    pub chain_id: ChainId,
    /// HTTP endpoint of the chain.
    pub rpc_url: String,
    /// Port of the chain, taken again after a restart.
    pub rpc_port: u16,
    /// The network's authority.
    pub kms_authority: ChainAddress,
    /// Implementation behind the authority.
    pub kms_implementation: ChainAddress,
    /// Implementation behind every app.
    pub app_implementation: ChainAddress,
    /// The app of the KMS nodes.
    pub kms_app_id: AppId,
    /// Root of the software platform, listed on-chain.
    pub attestation_root: AttestationRoot,
    /// The allowed OS image.
    pub os_image_hash: OsImageHash,
    /// Collateral of the software platform.
    pub pcs_url: String,
    /// Port of the collateral service.
    pub pcs_port: u16,
    /// The KMS node, once there is one.
    pub kms: Option<KmsDescription>,
}

/// A KMS node of a development network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmsDescription {
    /// Where it listens.
    pub url: String,
    /// Port, taken again after a restart.
    pub port: u16,
    /// What clients pin.
    pub identity: KmsIdentity,
    /// Epoch recorded on-chain.
    pub key_epoch: KeyEpoch,
}

impl Description {
    /// Reads a folder's.
    ///
    /// # Errors
    /// When the file is there and is not one.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join("network.json");
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a network", file.display()))
            .map(Some)
    }

    pub(crate) fn save(&self, folder: &Folder) -> Result<()> {
        write_private(&folder.description(), &serde_json::to_vec_pretty(self)?)
    }
}
