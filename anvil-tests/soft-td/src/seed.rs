//! The secret a simulated platform is made of, and the keys derived from it. The same seed gives the same keys for ever;
//! a seed that others know makes a platform that others can imitate.

use crate::SoftTdError;
use hkdf::Hkdf;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey, signature::Signer};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const SALT: &[u8] = b"kedge/soft-td/v1";

/// 32 secret bytes. No `Debug`, no `Clone`, wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PlatformSeed(Box<[u8; 32]>);

impl PlatformSeed {
    /// Takes the bytes over.
    pub fn new(bytes: Box<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// A seed anyone can compute, for tests that want the same platform every time.
    pub fn public(name: &str) -> Self {
        Self(Box::new(Sha256::digest(name.as_bytes()).into()))
    }

    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8]) -> Result<(), SoftTdError> {
        let info = kms_types::length_prefixed(info.iter().copied());
        Hkdf::<Sha256>::new(Some(SALT), self.0.as_ref())
            .expand(&info, out)
            .map_err(|_| SoftTdError::Derivation { bytes: out.len() })
    }

    pub(crate) fn key(&self, name: &'static str) -> Result<Key, SoftTdError> {
        let mut scalar = Zeroizing::new([0; 32]);
        // A scalar outside the group order comes up once in 2³² seeds; the count gives the next candidate.
        for count in 0u8..=u8::MAX {
            self.expand(&[b"p256", name.as_bytes(), &[count]], scalar.as_mut())?;
            if let Ok(secret) = SigningKey::from_slice(scalar.as_ref()) {
                return Ok(Key::new(secret));
            }
        }
        Err(SoftTdError::Derivation { bytes: 32 })
    }
}

/// A P-256 key; signatures are deterministic (RFC 6979).
pub(crate) struct Key {
    secret: SigningKey,
    /// Uncompressed point, with its leading 0x04.
    point: Vec<u8>,
}

impl Key {
    fn new(secret: SigningKey) -> Self {
        let point = VerifyingKey::from(&secret)
            .to_encoded_point(false)
            .as_bytes()
            .to_vec();
        Self { secret, point }
    }

    /// x ‖ y, as quotes carry it.
    pub(crate) fn raw_public(&self) -> &[u8] {
        self.point.get(1..).unwrap_or_default()
    }

    /// r ‖ s, as quotes and PCS answers carry it.
    pub(crate) fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.secret.sign(message);
        signature.to_bytes().into()
    }

    /// Key identifier: the first 20 bytes of SHA-256 over the point.
    pub(crate) fn identifier(&self) -> Vec<u8> {
        Sha256::digest(&self.point).iter().copied().take(20).collect()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.secret.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

/// Every key of a platform.
pub(crate) struct Keys {
    pub(crate) root: Key,
    pub(crate) platform_ca: Key,
    pub(crate) tcb_signer: Key,
    pub(crate) pck: Key,
    pub(crate) attestation: Key,
}

impl Keys {
    pub(crate) fn derive(seed: &PlatformSeed) -> Result<Self, SoftTdError> {
        Ok(Self {
            root: seed.key("root")?,
            platform_ca: seed.key("platform-ca")?,
            tcb_signer: seed.key("tcb-signing")?,
            pck: seed.key("pck")?,
            attestation: seed.key("attestation")?,
        })
    }
}
