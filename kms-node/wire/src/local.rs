//! Messages of dstack's local key provider protocol: one request and one answer over TCP, each a big-endian u32 length
//! and that many bytes of JSON, byte strings as arrays of numbers.
//!
//! Refuses a length above its bound before anything is allocated, and parts above theirs. Unknown fields are passed over,
//! since the other side need not be ours.

use crate::MAX_QUOTE;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;

/// Bytes of a request's JSON: an array spends at most four characters on a byte.
pub const MAX_LOCAL_REQUEST: usize = 4 * MAX_QUOTE + 1024;
/// Bytes of an answer's JSON: a quote, a key and collateral.
pub const MAX_LOCAL_ANSWER: usize = 2 * 1024 * 1024;
/// Bytes of an encrypted key: 32 of an ephemeral key, 16 of an authenticator, 32 of the key.
pub const LOCAL_ENCRYPTED_KEY: usize = 80;
/// Bytes of the provider's collateral.
pub const MAX_LOCAL_COLLATERAL: usize = 1024 * 1024;

/// A length in front of a message that is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message of a local key provider: expected 1 to {max} bytes, got {actual}")]
pub struct LocalFrameError {
    /// The bound.
    pub max: usize,
    /// What was announced.
    pub actual: usize,
}

/// A guest's request. Its quote carries an X25519 public key in the first 32 bytes of the report data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRequest {
    /// The guest's quote.
    #[serde(deserialize_with = "bounded::<MAX_QUOTE, _>")]
    pub quote: Vec<u8>,
}

/// A provider's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalAnswer {
    /// Sealed box (libsodium's) to the guest's public key.
    #[serde(deserialize_with = "bounded::<LOCAL_ENCRYPTED_KEY, _>")]
    pub encrypted_key: Vec<u8>,
    /// The provider's quote, whose report data begins with SHA-256 of `encrypted_key`; empty when it runs in no enclave.
    #[serde(deserialize_with = "bounded::<MAX_QUOTE, _>")]
    pub provider_quote: Vec<u8>,
    /// Collateral for that quote, JSON. Ours: a guest has no network when it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_collateral: Option<String>,
}

/// Puts the length in front of a message.
///
/// # Errors
/// When it is above `max`.
pub fn local_frame(json: &[u8], max: usize) -> Result<Vec<u8>, LocalFrameError> {
    let actual = json.len();
    let length = u32::try_from(actual)
        .ok()
        .filter(|_| (1..=max).contains(&actual))
        .ok_or(LocalFrameError { max, actual })?;
    Ok([length.to_be_bytes().as_slice(), json].concat())
}

/// Reads the length in front of a message.
///
/// # Errors
/// When it is zero or above `max`.
pub fn local_frame_length(prefix: [u8; 4], max: usize) -> Result<usize, LocalFrameError> {
    let actual = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if (1..=max).contains(&actual) {
        Ok(actual)
    } else {
        Err(LocalFrameError { max, actual })
    }
}

fn bounded<'de, const MAX: usize, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    struct Bytes<const MAX: usize>;
    impl<'de, const MAX: usize> de::Visitor<'de> for Bytes<MAX> {
        type Value = Vec<u8>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an array of at most {MAX} bytes")
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = items.next_element()? {
                if bytes.len() == MAX {
                    return Err(de::Error::invalid_length(MAX + 1, &self));
                }
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
    deserializer.deserialize_seq(Bytes::<MAX>)
}
