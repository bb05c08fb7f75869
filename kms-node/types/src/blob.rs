//! Bytes of variable length, as hex in JSON, with a bound in the type.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt};

/// At most `MAX` bytes; hex with or without `0x` on the way in, with `0x` on the way out.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Blob<const MAX: usize>(Vec<u8>);

/// A blob above its bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {max} bytes, got {actual}")]
pub struct BlobTooLong {
    /// The bound.
    pub max: usize,
    /// What came.
    pub actual: usize,
}

impl<const MAX: usize> Blob<MAX> {
    /// Takes bytes within the bound.
    ///
    /// # Errors
    /// When there are more than `MAX`.
    pub fn new(bytes: Vec<u8>) -> Result<Self, BlobTooLong> {
        if bytes.len() > MAX {
            return Err(BlobTooLong {
                max: MAX,
                actual: bytes.len(),
            });
        }
        Ok(Self(bytes))
    }
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// The bytes, by value.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> fmt::Debug for Blob<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl<const MAX: usize> Serialize for Blob<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("0x{}", hex::encode(&self.0)))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Blob<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        // Q8: the bound is checked on the digits, before anything of that size is allocated.
        if digits.len() > MAX * 2 {
            return Err(de::Error::custom(BlobTooLong {
                max: MAX,
                actual: digits.len().div_ceil(2),
            }));
        }
        hex::decode(digits).map(Self).map_err(de::Error::custom)
    }
}
