//! The keys an instance gets, and the keys its agent derives from them.

use crate::{
    ca::AppCa,
    derive::{self, KeyError, WIDE},
    label::PathLabel,
    secret::Secret,
};
use kms_types::{AppId, InstanceId, KeyEpoch};

/// What one instance of an app gets.
pub struct AppSecrets {
    /// The app.
    pub app_id: AppId,
    /// The instance the disk key belongs to.
    pub instance_id: InstanceId,
    /// Epoch of the root.
    pub key_epoch: KeyEpoch,
    /// LUKS2 volume key, aes-xts-plain64 512 bits.
    pub disk_key: Secret<64>,
    /// X25519 secret of the environment.
    pub env_key: Secret<32>,
    /// secp256k1 secret.
    pub app_key: Secret<32>,
    /// Its compressed public key.
    pub app_public_key: [u8; 33],
    /// KMS signature over it: r ‖ s ‖ v.
    pub app_key_signature: [u8; 65],
    /// Certificate of the app's CA, then of the KMS CA, PEM.
    pub ca_certificates: String,
}

/// An app's env public key with the KMS signatures over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvKeySignatures {
    /// X25519 public key.
    pub public_key: [u8; 32],
    /// Over AppId, time and key.
    pub signature: [u8; 65],
    /// The legacy form, without time.
    pub legacy_signature: [u8; 65],
}

/// What is public about an app and costs a signature to make.
pub(crate) struct AppPublic {
    pub(crate) public_key: [u8; 33],
    pub(crate) signature: [u8; 65],
    pub(crate) ca: AppCa,
}

/// X25519 public key of an environment secret.
pub fn env_public_key(secret: &Secret<32>) -> [u8; 32] {
    let secret = x25519_dalek::StaticSecret::from(*secret.expose());
    x25519_dalek::PublicKey::from(&secret).to_bytes()
}

/// secp256k1 secret of a path, from an app's secp256k1 secret.
///
/// # Errors
/// When the scalar is zero.
pub fn path_secp256k1(app_key: &Secret<32>, epoch: KeyEpoch, path: &str) -> Result<Secret<32>, KeyError> {
    let label = PathLabel::Secp256k1.as_str();
    let mut wide = Secret::<WIDE>::zeroed();
    derive::expand(
        app_key.expose(),
        epoch,
        label,
        &[path.as_bytes()],
        wide.expose_mut(),
    )?;
    let key = derive::scalar::<k256::Secp256k1>(label, &wide)?;
    Ok(Secret::from_repr(key.to_bytes().into()))
}

/// Ed25519 secret (RFC 8032 seed) of a path, from an app's secp256k1 secret.
///
/// # Errors
/// Never in practice: HKDF gives 32 bytes.
pub fn path_ed25519(app_key: &Secret<32>, epoch: KeyEpoch, path: &str) -> Result<Secret<32>, KeyError> {
    let mut seed = Secret::zeroed();
    derive::expand(
        app_key.expose(),
        epoch,
        PathLabel::Ed25519.as_str(),
        &[path.as_bytes()],
        seed.expose_mut(),
    )?;
    Ok(seed)
}

/// P-256 secret of a path, from an app's secp256k1 secret.
///
/// # Errors
/// When the scalar is zero.
pub fn path_p256(app_key: &Secret<32>, epoch: KeyEpoch, path: &str) -> Result<Secret<32>, KeyError> {
    let label = PathLabel::P256.as_str();
    let mut wide = Secret::<WIDE>::zeroed();
    derive::expand(
        app_key.expose(),
        epoch,
        label,
        &[path.as_bytes()],
        wide.expose_mut(),
    )?;
    let key = derive::scalar::<p256::NistP256>(label, &wide)?;
    Ok(Secret::from_repr(key.to_bytes().into()))
}
