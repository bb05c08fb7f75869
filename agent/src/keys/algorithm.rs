//! Names of algorithms as the SDKs write them.

/// Kind of a derived key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// secp256k1, as Ethereum and Bitcoin use it.
    Secp256k1,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

/// How [`sign`](super::sign()) treats its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignAlgorithm {
    /// Ed25519 over the data.
    Ed25519,
    /// ECDSA over SHA-256 of the data.
    Secp256k1,
    /// ECDSA over the data, which is a hash of 32 bytes.
    Secp256k1Prehashed,
}

/// Not the name of an algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("algorithm: expected one of {expected}, got {actual:?}")]
pub struct UnknownAlgorithm {
    /// The names.
    pub expected: &'static str,
    /// What came, cut.
    pub actual: String,
}

fn unknown(expected: &'static str, actual: &str) -> UnknownAlgorithm {
    UnknownAlgorithm {
        expected,
        actual: actual.chars().take(64).collect(),
    }
}

impl Algorithm {
    /// Reads a name; empty is secp256k1, as in the SDKs.
    ///
    /// # Errors
    /// When it is no name.
    pub fn parse(name: &str) -> Result<Self, UnknownAlgorithm> {
        match name {
            "" | "secp256k1" | "k256" => Ok(Self::Secp256k1),
            "ed25519" => Ok(Self::Ed25519),
            other => Err(unknown("secp256k1, k256, ed25519", other)),
        }
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secp256k1 => "secp256k1",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl SignAlgorithm {
    /// Reads a name; there is no default, a signature has one meaning.
    ///
    /// # Errors
    /// When it is no name.
    pub fn parse(name: &str) -> Result<Self, UnknownAlgorithm> {
        match name {
            "ed25519" => Ok(Self::Ed25519),
            "secp256k1" | "k256" => Ok(Self::Secp256k1),
            "secp256k1_prehashed" => Ok(Self::Secp256k1Prehashed),
            other => Err(unknown("ed25519, secp256k1, k256, secp256k1_prehashed", other)),
        }
    }

    /// Kind of the key that signs.
    pub const fn key(self) -> Algorithm {
        match self {
            Self::Ed25519 => Algorithm::Ed25519,
            Self::Secp256k1 | Self::Secp256k1Prehashed => Algorithm::Secp256k1,
        }
    }
}
