//! Compact JWS (RFC 7515) with ES256K (RFC 8812): the form of a lease.
//!
//! The header is one constant and compared as text, so there is no algorithm to choose and nothing to parse before the
//! signature holds. Refuses any other header, padding, more or fewer than three parts, high s, and tokens above 8 KiB.

use crate::derive::KeyError;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use k256::ecdsa::{
    Signature, SigningKey, VerifyingKey,
    signature::{Signer, Verifier},
};

/// `{"alg":"ES256K","typ":"JWT"}`
pub(crate) const HEADER: &str = r#"{"alg":"ES256K","typ":"JWT"}"#;
const MAX_JWS: usize = 8 * 1024;

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Above the bound.
    #[error("JWS: expected at most {MAX_JWS} bytes, got {actual}")]
    TooLong {
        /// What came.
        actual: usize,
    },
    /// Not three base64url parts with the one header.
    #[error("JWS: expected header {HEADER}, payload and signature in base64url, got another {part}")]
    Form {
        /// Which part.
        part: &'static str,
    },
    /// The key is not one.
    #[error("JWS: expected a compressed secp256k1 public key")]
    PublicKey,
    /// Somebody else signed, or something else was signed.
    #[error("JWS: expected a signature by the given key, got another")]
    Signature,
}

pub(crate) fn sign(key: &SigningKey, payload: &[u8]) -> Result<String, KeyError> {
    let input = format!("{}.{}", BASE64URL.encode(HEADER), BASE64URL.encode(payload));
    let signature: Signature = key.try_sign(input.as_bytes()).map_err(|_| KeyError::Signing {
        what: "secp256k1 key",
    })?;
    Ok(format!("{input}.{}", BASE64URL.encode(signature.to_bytes())))
}

/// Checks a token against the signer's compressed public key and gives its payload.
///
/// # Errors
/// When the token has another form or another signer.
pub fn verify_jws_es256k(token: &str, signer: &[u8; 33]) -> Result<Vec<u8>, JwsError> {
    if token.len() > MAX_JWS {
        return Err(JwsError::TooLong { actual: token.len() });
    }
    let key = VerifyingKey::from_sec1_bytes(signer).map_err(|_| JwsError::PublicKey)?;
    let (input, signature) = token.rsplit_once('.').ok_or(JwsError::Form {
        part: "count of parts",
    })?;
    let (header, payload) = input.split_once('.').ok_or(JwsError::Form {
        part: "count of parts",
    })?;
    if header != BASE64URL.encode(HEADER) {
        return Err(JwsError::Form { part: "header" });
    }
    let bytes = BASE64URL
        .decode(signature)
        .map_err(|_| JwsError::Form { part: "signature" })?;
    let parsed = Signature::from_slice(&bytes).map_err(|_| JwsError::Form { part: "signature" })?;
    if parsed.normalize_s().is_some() {
        return Err(JwsError::Form { part: "signature" });
    }
    key.verify(input.as_bytes(), &parsed)
        .map_err(|_| JwsError::Signature)?;
    BASE64URL
        .decode(payload)
        .map_err(|_| JwsError::Form { part: "payload" })
}
