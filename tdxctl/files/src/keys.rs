//! The keys the agent may have: what it signs, certifies and derives with.

use crate::{FileError, file};
use kms_keys::{KeyError, instance_seal_secret};
use kms_types::{AppId, Blob, InstanceId, KeyEpoch};
use kms_wire::{AppKeys, SecretBytes};
use serde::{Deserialize, Serialize};
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes of the keys in JSON: two certificates and a few hundred bytes.
pub const MAX_KEYS: usize = 128 * 1024;

/// Keys of the agent. The disk key and the key of the environment are not among them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestKeys {
    /// The app.
    pub app_id: AppId,
    /// The instance.
    pub instance_id: InstanceId,
    /// Epoch of the root they come from; zero when there is no root.
    pub key_epoch: KeyEpoch,
    /// secp256k1 secret of the app.
    pub app_key: SecretBytes<32>,
    /// KMS signature over its public key, r ‖ s ‖ v; empty when no KMS gave it.
    pub app_key_signature: Blob<65>,
    /// Certificate of the app's CA, then of the KMS CA, PEM; empty when no KMS gave it.
    pub ca_certificates: String,
    /// App id of the network's gateway, zero when there is none.
    pub gateway_app_id: AppId,
    /// Secret of the instance's sealed files, from its disk key; none when the keys are of one boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_seal_secret: Option<SecretBytes<32>>,
    /// Key of the disk's markers, for an app that has set-backs detected: it makes markers and reads no data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_marker_key: Option<SecretBytes<32>>,
}

impl GuestKeys {
    /// The agent's part of released keys.
    ///
    /// # Errors
    /// Never in practice: a derivation of 32 bytes.
    pub fn of(keys: &AppKeys) -> Result<Self, KeyError> {
        let disk_key = keys.disk_key.expose();
        let secret = seal_secret(disk_key, &keys.app_id, &keys.instance_id, keys.key_epoch)?;
        Ok(Self {
            instance_seal_secret: Some(secret),
            disk_marker_key: None,
            app_id: keys.app_id,
            instance_id: keys.instance_id,
            key_epoch: keys.key_epoch,
            app_key: SecretBytes::new(Box::new(*keys.app_key.expose())),
            app_key_signature: keys.app_key_signature.clone(),
            ca_certificates: keys.ca_certificates.clone(),
            gateway_app_id: keys.gateway_app_id,
        })
    }
}

/// The secret of an instance's sealed files, from its disk key.
///
/// # Errors
/// Never in practice: a derivation of 32 bytes.
pub fn seal_secret(
    disk_key: &[u8; 64],
    app_id: &AppId,
    instance_id: &InstanceId,
    epoch: KeyEpoch,
) -> Result<SecretBytes<32>, KeyError> {
    let secret = instance_seal_secret(disk_key, app_id, instance_id, epoch)?;
    Ok(SecretBytes::new(secret.into_box()))
}

pub(crate) fn write(path: &Path, keys: &GuestKeys) -> Result<(), FileError> {
    // A buffer that grew would leave unwiped copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_KEYS));
    serde_json::to_writer(&mut *text, keys).map_err(|error| FileError::Io {
        path: path.to_owned(),
        action: "could not be put into words",
        source: error.into(),
    })?;
    file::write_private(path, &text)
}

pub(crate) fn read(path: &Path) -> Result<GuestKeys, FileError> {
    file::read_json(path, MAX_KEYS, "keys of a guest")
}
