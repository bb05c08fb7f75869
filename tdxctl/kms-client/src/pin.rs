//! Who the KMS is: hash of its CA key, key that signs its answers. Refuses an identity document whose certificate has another
//! key than the hash it states.

use crate::pem;
use kms_types::{KeyEpoch, KmsIdentity};
use kms_wire::EpochIdentity;
use rustls::{pki_types::CertificateDer, server::ParsedCertificate};

/// Longest identity document.
pub const MAX_PIN_BYTES: usize = 64 * 1024;

/// The KMS that is meant, in one key epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsPin {
    /// SHA-256 of the CA's SubjectPublicKeyInfo.
    pub kms_identity: KmsIdentity,
    /// Compressed secp256k1 key that signs answers.
    pub k256_public_key: [u8; 33],
    /// Ed25519 key of the release log, where it is known; the chain does not record it.
    pub log_public_key: Option<[u8; 32]>,
    /// Epoch the identity is of, where it is known.
    pub key_epoch: Option<KeyEpoch>,
}

/// Why a document is no identity.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Too long.
    #[error("KMS identity: expected at most {MAX_PIN_BYTES} bytes, got {actual}")]
    TooLong {
        /// Bytes that came.
        actual: usize,
    },
    /// Not the JSON of one.
    #[error("KMS identity: not the expected JSON")]
    Json(#[from] serde_json::Error),
    /// A key of another length.
    #[error("KMS identity: {what}: expected {expected} bytes, got {actual}")]
    Length {
        /// Which key.
        what: &'static str,
        /// Its length.
        expected: usize,
        /// What came.
        actual: usize,
    },
    /// The certificate cannot be read.
    #[error("KMS identity: CA certificate: expected one certificate in PEM")]
    Certificate,
    /// The certificate is of another key.
    #[error("KMS identity: hash of the CA certificate's key: expected {expected}, got {actual}")]
    Hash {
        /// What the document states.
        expected: KmsIdentity,
        /// What the certificate has.
        actual: KmsIdentity,
    },
}

impl KmsPin {
    /// Reads an identity document: one epoch as `GET /v1/meta` lists it, kept from a source that is trusted.
    ///
    /// # Errors
    /// When it is not one, or contradicts itself.
    pub fn from_json(text: &[u8]) -> Result<Self, PinError> {
        if text.len() > MAX_PIN_BYTES {
            return Err(PinError::TooLong { actual: text.len() });
        }
        Self::from_identity(&serde_json::from_slice(text)?)
    }

    /// Takes a document that is already parsed.
    ///
    /// # Errors
    /// When it contradicts itself.
    pub fn from_identity(identity: &EpochIdentity) -> Result<Self, PinError> {
        let actual = certificate_identity(&identity.ca_certificate).ok_or(PinError::Certificate)?;
        // G3: a document put together from two KMSs would let one vouch for the connection and the other for the answer.
        if actual != identity.kms_identity {
            return Err(PinError::Hash {
                expected: identity.kms_identity,
                actual,
            });
        }
        Ok(Self {
            kms_identity: identity.kms_identity,
            k256_public_key: sized("k256_public_key", identity.k256_public_key.as_bytes())?,
            log_public_key: Some(sized("log_public_key", identity.log_public_key.as_bytes())?),
            key_epoch: Some(identity.key_epoch),
        })
    }
}

/// Identity of the KMS whose CA certificate this is; nothing unless there is exactly one.
fn certificate_identity(pem_text: &str) -> Option<KmsIdentity> {
    match pem::certificates(pem_text)?.as_slice() {
        [certificate] => identity_of(certificate),
        _ => None,
    }
}

/// Hash of a certificate's SubjectPublicKeyInfo.
pub(crate) fn identity_of(certificate: &CertificateDer<'_>) -> Option<KmsIdentity> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(KmsIdentity::of_spki(&parsed.subject_public_key_info()))
}

pub(crate) fn sized<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], PinError> {
    bytes.try_into().map_err(|_| PinError::Length {
        what,
        expected: N,
        actual: bytes.len(),
    })
}
