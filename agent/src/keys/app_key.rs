//! The app's own secp256k1 key: what it derives for a path, and its signature over that.

use super::Algorithm;
use ed25519_dalek::SigningKey as Ed25519Key;
use k256::ecdsa::SigningKey as K256Key;
use kms_keys::{
    KeyError, Secret, path_ed25519, path_key_message, path_p256, path_secp256k1, sign_prehash_with,
};
use kms_types::{KeyEpoch, length_prefixed};
use lru::LruCache;
use sha2::{Digest, Sha256};
use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Public halves kept: some 200 bytes each.
pub const MAX_CACHED_KEYS: usize = 4096;

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// Derivation or signature failed, which is a fault and not chance.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The secret that came is no secp256k1 key.
    #[error("app key: expected a secp256k1 secret, got other bytes")]
    NotAKey,
}

/// A compressed secp256k1 point or an Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicBytes {
    /// Compressed point.
    Secp256k1([u8; 33]),
    /// RFC 8032 encoding.
    Ed25519([u8; 32]),
}

impl AsRef<[u8]> for PublicBytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Secp256k1(bytes) => bytes,
            Self::Ed25519(bytes) => bytes,
        }
    }
}

/// A key of a path.
pub struct Derived {
    /// The secret, 32 bytes.
    pub secret: Secret<32>,
    /// Its public half.
    pub public: PublicBytes,
    /// The app key's signature over purpose and public half: r ‖ s ‖ v.
    pub app_signature: [u8; 65],
}

#[derive(Clone, Copy)]
struct Known {
    public: PublicBytes,
    app_signature: [u8; 65],
}

/// The app's secp256k1 key with the KMS signature over it.
pub struct AppKey {
    secret: Secret<32>,
    epoch: KeyEpoch,
    public: [u8; 33],
    kms_signature: Option<[u8; 65]>,
    // G8: what is kept is bounded and public; the bound holds whatever paths an app makes up.
    known: Mutex<LruCache<[u8; 32], Known>>,
}

impl AppKey {
    /// Takes the key over. `kms_signature` is none when no KMS released it.
    ///
    /// # Errors
    /// When the secret is no secp256k1 key.
    pub fn new(
        secret: Secret<32>,
        epoch: KeyEpoch,
        kms_signature: Option<[u8; 65]>,
    ) -> Result<Self, DeriveError> {
        let capacity = NonZeroUsize::new(MAX_CACHED_KEYS).unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            public: compressed_point(&secret)?,
            secret,
            epoch,
            kms_signature,
            known: Mutex::new(LruCache::new(capacity)),
        })
    }

    /// Its compressed public half.
    pub fn public(&self) -> &[u8; 33] {
        &self.public
    }

    /// Epoch of the root it comes from.
    pub fn epoch(&self) -> KeyEpoch {
        self.epoch
    }

    /// The KMS signature over it; none when no KMS released it.
    pub fn kms_signature(&self) -> Option<&[u8; 65]> {
        self.kms_signature.as_ref()
    }

    /// The P-256 key of a path, for TLS.
    ///
    /// # Errors
    /// Never in practice.
    pub fn p256(&self, path: &str) -> Result<p256::SecretKey, DeriveError> {
        let secret = path_p256(&self.secret, self.epoch, path)?;
        p256::SecretKey::from_slice(secret.expose()).map_err(|_| DeriveError::NotAKey)
    }

    /// The key of a path.
    ///
    /// # Errors
    /// Never in practice.
    pub fn derive(&self, algorithm: Algorithm, path: &str, purpose: &str) -> Result<Derived, DeriveError> {
        let secret = match algorithm {
            Algorithm::Secp256k1 => path_secp256k1(&self.secret, self.epoch, path)?,
            Algorithm::Ed25519 => path_ed25519(&self.secret, self.epoch, path)?,
        };
        let index: [u8; 32] = Sha256::digest(length_prefixed([
            algorithm.as_str().as_bytes(),
            path.as_bytes(),
            purpose.as_bytes(),
        ]))
        .into();
        let found = self.lock().get(&index).copied();
        let known = match found {
            Some(known) => known,
            None => {
                let known = self.sign(algorithm, &secret, purpose)?;
                self.lock().put(index, known);
                known
            }
        };
        Ok(Derived {
            secret,
            public: known.public,
            app_signature: known.app_signature,
        })
    }

    fn sign(&self, algorithm: Algorithm, secret: &Secret<32>, purpose: &str) -> Result<Known, DeriveError> {
        let public = match algorithm {
            Algorithm::Secp256k1 => PublicBytes::Secp256k1(compressed_point(secret)?),
            Algorithm::Ed25519 => {
                let key = Ed25519Key::from_bytes(secret.expose());
                PublicBytes::Ed25519(key.verifying_key().to_bytes())
            }
        };
        let message = path_key_message(purpose, public.as_ref());
        Ok(Known {
            public,
            app_signature: sign_prehash_with(&self.secret, &message)?,
        })
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<[u8; 32], Known>> {
        // Entries are whole values put in by one call; a panic elsewhere cannot leave half of one.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compressed_point(secret: &Secret<32>) -> Result<[u8; 33], DeriveError> {
    let key = K256Key::from_slice(secret.expose()).map_err(|_| DeriveError::NotAKey)?;
    let point = key.verifying_key().to_encoded_point(true);
    point.as_bytes().try_into().map_err(|_| DeriveError::NotAKey)
}
