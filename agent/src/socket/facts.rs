//! What the agent knows of the instance it serves.

use kms_keys::Secret;
use kms_types::{AppId, ComposeHash, InstanceId, KeyEpoch, OsImageHash};

/// The instance, as the boot measured and recorded it.
#[derive(Debug, Clone)]
pub struct AppFacts {
    /// The app.
    pub app_id: AppId,
    /// Its name in the compose document.
    pub app_name: String,
    /// The instance; none for an app without instance ids.
    pub instance_id: Option<InstanceId>,
    /// The compose document, exact text.
    pub app_compose: String,
    /// Its hash.
    pub compose_hash: ComposeHash,
    /// The OS image.
    pub os_image_hash: OsImageHash,
    /// Proof that the registers are of that image.
    pub image_proof: Vec<u8>,
    /// Payload of the `key-provider` event: `{"name","id"}`.
    pub key_provider_info: String,
    /// The VMM's description of the VM.
    pub vm_config: String,
    /// Maker of the machine as its firmware says; not measured.
    pub cloud_vendor: String,
    /// Name of the machine as its firmware says; not measured.
    pub cloud_product: String,
}

/// The app's key as setup handed it over.
pub struct KeyMaterial {
    /// secp256k1 secret.
    pub app_key: Secret<32>,
    /// Epoch of the root it comes from.
    pub key_epoch: KeyEpoch,
    /// The KMS signature over its public half; none when no KMS released it.
    pub kms_signature: Option<[u8; 65]>,
}
