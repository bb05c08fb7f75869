//! Messages the KMS and app keys sign, and their verification.
//!
//! Signatures over secp256k1 are r ‖ s ‖ v with v ∈ {0, 1} and low s. Another v, a high s or another length is refused.

use crate::{derive::KeyError, secret::Secret};
use ed25519_dalek::{Signature as LogSignature, VerifyingKey as LogKey};
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use kms_types::{AppId, UnixTime};
use sha3::{Digest, Keccak256};

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Wrong length.
    #[error("signature: expected {expected} bytes, got {actual}")]
    Length {
        /// Bytes it has.
        expected: usize,
        /// Bytes that came.
        actual: usize,
    },
    /// Not a signature in its one accepted form.
    #[error("signature: expected r ‖ s ‖ v with r, s in range, low s and v of 0 or 1; v is {v}")]
    Form {
        /// The last byte.
        v: u8,
    },
    /// Not a public key.
    #[error("public key: expected a point on the curve in compressed form, got {actual} other bytes")]
    PublicKey {
        /// Bytes that came.
        actual: usize,
    },
    /// Somebody else signed, or something else was signed.
    #[error("signature: expected one by {expected}, got one by {actual}")]
    Signer {
        /// Key that should have signed, hex.
        expected: String,
        /// Key that did, or `another key`.
        actual: String,
    },
}

fn keccak(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Keccak256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// keccak256("dstack-kms-issued" ‖ ":" ‖ AppId ‖ compressed app public key), as dstack.
pub fn app_key_message(app: &AppId, app_public_key: &[u8; 33]) -> [u8; 32] {
    keccak(&[b"dstack-kms-issued:", app.as_ref(), app_public_key])
}

/// keccak256("dstack-env-encrypt-pubkey" ‖ ":" ‖ AppId ‖ [u64 time ‖] public key), as dstack; the legacy form has no time.
pub fn env_public_key_message(app: &AppId, time: Option<UnixTime>, public_key: &[u8; 32]) -> [u8; 32] {
    let time = time.map(|t| t.0.to_be_bytes());
    keccak(&[
        b"dstack-env-encrypt-pubkey:",
        app.as_ref(),
        time.as_ref().map_or(&[], |t| t.as_slice()),
        public_key,
    ])
}

/// keccak256(purpose ‖ ":" ‖ hex(public key)), as dstack: what the app key signs about a key of a path.
pub fn path_key_message(purpose: &str, public_key: &[u8]) -> [u8; 32] {
    keccak(&[purpose.as_bytes(), b":", hex::encode(public_key).as_bytes()])
}

pub(crate) fn sign_k256(key: &SigningKey, prehash: &[u8; 32]) -> Result<[u8; 65], KeyError> {
    let (signature, recovery) = key
        .sign_prehash_recoverable(prehash)
        .map_err(|_| KeyError::Signing {
            what: "secp256k1 key",
        })?;
    // An x coordinate above the order: chance 2^-127, and no v of 0 or 1 says it.
    if recovery.is_x_reduced() {
        return Err(KeyError::Signing {
            what: "secp256k1 key",
        });
    }
    let mut out = [0; 65];
    for (to, from) in out
        .iter_mut()
        .zip(signature.to_bytes().iter().copied().chain([recovery.to_byte()]))
    {
        *to = from;
    }
    Ok(out)
}

/// Signs a hash with an app's key: r ‖ s ‖ v.
///
/// # Errors
/// When the secret is no scalar.
pub fn sign_prehash_with(secret: &Secret<32>, prehash: &[u8; 32]) -> Result<[u8; 65], KeyError> {
    let key = SigningKey::from_slice(secret.expose()).map_err(|_| KeyError::NotAScalar {
        what: "secp256k1 key",
    })?;
    sign_k256(&key, prehash)
}

/// Compressed public key of whoever signed the hash.
///
/// # Errors
/// When the signature has another length or form.
pub fn recover_prehash(prehash: &[u8; 32], signature: &[u8]) -> Result<[u8; 33], SignatureError> {
    let Some(([v], rs)) = <&[u8; 65]>::try_from(signature)
        .ok()
        .and_then(|s| s.split_last_chunk::<1>())
        .map(|(rs, v)| (v, rs))
    else {
        return Err(SignatureError::Length {
            expected: 65,
            actual: signature.len(),
        });
    };
    let form = || SignatureError::Form { v: *v };
    let recovery = RecoveryId::from_byte(*v)
        .filter(|id| !id.is_x_reduced())
        .ok_or_else(form)?;
    let parsed = Signature::from_slice(rs).map_err(|_| form())?;
    // Two encodings of one signature would let a log or cache hold it twice.
    if parsed.normalize_s().is_some() {
        return Err(form());
    }
    let key = VerifyingKey::recover_from_prehash(prehash, &parsed, recovery).map_err(|_| form())?;
    Ok(compressed(&key))
}

/// Checks that `signer` signed the hash.
///
/// # Errors
/// When the signature has another form or another signer.
pub fn verify_prehash(signer: &[u8; 33], prehash: &[u8; 32], signature: &[u8]) -> Result<(), SignatureError> {
    let actual = recover_prehash(prehash, signature)?;
    if actual == *signer {
        Ok(())
    } else {
        Err(SignatureError::Signer {
            expected: hex::encode(signer),
            actual: hex::encode(actual),
        })
    }
}

/// Checks the KMS signature over an app's public key.
///
/// # Errors
/// When the signature has another form or another signer.
pub fn verify_app_key(
    kms: &[u8; 33],
    app: &AppId,
    app_public_key: &[u8; 33],
    signature: &[u8],
) -> Result<(), SignatureError> {
    verify_prehash(kms, &app_key_message(app, app_public_key), signature)
}

/// Checks the KMS signature over an app's env public key; `time` is absent for the legacy form.
///
/// # Errors
/// When the signature has another form or another signer.
pub fn verify_env_public_key(
    kms: &[u8; 33],
    app: &AppId,
    time: Option<UnixTime>,
    public_key: &[u8; 32],
    signature: &[u8],
) -> Result<(), SignatureError> {
    verify_prehash(kms, &env_public_key_message(app, time, public_key), signature)
}

/// Checks an Ed25519 signature of the release log, strictly (RFC 8032 with no small-order keys).
///
/// # Errors
/// When the key or the signature is not one, or does not match.
pub fn verify_log(public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let key = LogKey::from_bytes(public_key).map_err(|_| SignatureError::PublicKey { actual: 32 })?;
    let bytes = <[u8; 64]>::try_from(signature).map_err(|_| SignatureError::Length {
        expected: 64,
        actual: signature.len(),
    })?;
    key.verify_strict(message, &LogSignature::from_bytes(&bytes))
        .map_err(|_| SignatureError::Signer {
            expected: hex::encode(public_key),
            actual: "another key".to_owned(),
        })
}

pub(crate) fn compressed(key: &VerifyingKey) -> [u8; 33] {
    let point = key.to_encoded_point(true);
    let mut out = [0; 33];
    for (to, from) in out.iter_mut().zip(point.as_bytes()) {
        *to = *from;
    }
    out
}
