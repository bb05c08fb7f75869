//! Fingerprints: enough of a key to see whether two are the same, nothing to use it by. Of key pairs the public part is
//! hashed; the disk key has none and keys an HMAC.

use anyhow::{Context, Result};
use hkdf::hmac::{Hmac, Mac};
use k256::ecdsa::SigningKey;
use kms_wire::AppKeys;
use serde::Serialize;
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

/// Fingerprints of what one instance got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fingerprints {
    /// Disk encryption, one per instance.
    pub(crate) disk: String,
    /// Opens the app's encrypted environment.
    pub(crate) env: String,
    /// The app's signing key.
    pub(crate) app: String,
    /// The app's certificate authority.
    pub(crate) ca: String,
}

impl Fingerprints {
    /// Takes them.
    ///
    /// # Errors
    /// When a key is none.
    pub(crate) fn of(keys: &AppKeys) -> Result<Self> {
        let disk = Hmac::<Sha256>::new_from_slice(keys.disk_key.expose())
            .context("disk key")?
            .chain_update(b"kedge/fingerprint/v1")
            .finalize()
            .into_bytes();
        let env = PublicKey::from(&StaticSecret::from(*keys.env_key.expose()));
        let app = SigningKey::from_slice(keys.app_key.expose()).map_err(|_| anyhow::anyhow!("app key"))?;
        let app = app.verifying_key().to_encoded_point(true);
        Ok(Self {
            disk: short(&disk),
            env: short(&Sha256::digest(env.as_bytes())),
            app: short(&Sha256::digest(app.as_bytes())),
            ca: short(&Sha256::digest(keys.ca_certificates.as_bytes())),
        })
    }
}

/// The first eight bytes, in hex.
pub(crate) fn short(digest: &[u8]) -> String {
    hex::encode(digest.get(..8).unwrap_or(digest))
}
