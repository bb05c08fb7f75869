//! The seam for another derivation: a cluster that migrates can bring its own suite, and no caller changes.

use crate::{
    derive::{self, KeyError, WIDE},
    label::Label,
    secret::{EpochRoot, Secret},
};

/// A way to get keys from a root. It decides bytes; what the bytes are used for is decided by the caller's label.
pub trait Suite: Send + Sync {
    /// Name and version, for people.
    fn name(&self) -> &'static str;

    /// Secret bytes of a symmetric, X25519 or Ed25519 key.
    ///
    /// # Errors
    /// When the suite cannot give that many bytes.
    fn bytes(&self, root: &EpochRoot, label: Label, parts: &[&[u8]], out: &mut [u8]) -> Result<(), KeyError>;

    /// A secp256k1 key.
    ///
    /// # Errors
    /// When the scalar is zero.
    fn k256(&self, root: &EpochRoot, label: Label, parts: &[&[u8]]) -> Result<k256::SecretKey, KeyError>;

    /// A P-256 key.
    ///
    /// # Errors
    /// When the scalar is zero.
    fn p256(&self, root: &EpochRoot, label: Label, parts: &[&[u8]]) -> Result<p256::SecretKey, KeyError>;
}

/// The suite of `SPEC.md`, version 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct KedgeV1;

impl KedgeV1 {
    fn wide(self, root: &EpochRoot, label: Label, parts: &[&[u8]]) -> Result<Secret<WIDE>, KeyError> {
        let mut wide = Secret::zeroed();
        self.bytes(root, label, parts, wide.expose_mut())?;
        Ok(wide)
    }
}

impl Suite for KedgeV1 {
    fn name(&self) -> &'static str {
        "kedge/kdf/v1"
    }

    fn bytes(&self, root: &EpochRoot, label: Label, parts: &[&[u8]], out: &mut [u8]) -> Result<(), KeyError> {
        derive::expand(root.expose(), root.epoch(), label.as_str(), parts, out)
    }

    fn k256(&self, root: &EpochRoot, label: Label, parts: &[&[u8]]) -> Result<k256::SecretKey, KeyError> {
        derive::scalar(label.as_str(), &self.wide(root, label, parts)?)
    }

    fn p256(&self, root: &EpochRoot, label: Label, parts: &[&[u8]]) -> Result<p256::SecretKey, KeyError> {
        derive::scalar(label.as_str(), &self.wide(root, label, parts)?)
    }
}
