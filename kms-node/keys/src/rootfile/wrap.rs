//! What wraps the roots: a key the TD (or a key file) gives, or a passphrase.

use super::{RootFileError, store};
use crate::secret::Secret;
use std::path::Path;
use zeroize::Zeroizing;

pub(super) const MIN_MEMORY_KIB: u32 = 8 * 1024;
pub(super) const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;
const MAX_PASSPHRASE: usize = 1024;

/// Cost of turning a passphrase into a key (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    /// Second recommended option of RFC 9106 §4: 64 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Self {
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 4,
        }
    }
}

impl Argon2Cost {
    /// The cost stands in a file whose author is not known before the key is: unbounded, it would fill memory.
    pub(super) fn checked(self) -> Result<argon2::Params, RootFileError> {
        let Self {
            memory_kib,
            passes,
            lanes,
        } = self;
        let refused = || RootFileError::Cost {
            memory_kib,
            passes,
            lanes,
        };
        let within = (MIN_MEMORY_KIB..=MAX_MEMORY_KIB).contains(&memory_kib)
            && (1..=MAX_PASSES).contains(&passes)
            && (1..=MAX_LANES).contains(&lanes);
        if !within {
            return Err(refused());
        }
        argon2::Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| refused())
    }
}

/// 32 bytes that wrap a root file.
pub struct WrappingKey(Secret<32>);

impl WrappingKey {
    /// A key from elsewhere: the sealing key of a TD.
    pub fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// Reads a key file: 32 bytes, nobody else may read it.
    ///
    /// # Errors
    /// When it has another size or kind, or others may read it.
    pub fn from_file(path: &Path) -> Result<Self, RootFileError> {
        let bytes = store::read_secret(path, 32)?;
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| RootFileError::SecretFile {
            path: path.display().to_string(),
            expected: "a key of 32 bytes",
            actual: format!("{} bytes", bytes.len()),
        })?;
        Ok(Self(Secret::from_repr(key)))
    }
}

/// A passphrase; what it costs to try one is chosen when a file is written.
pub struct Passphrase {
    text: Zeroizing<Vec<u8>>,
    cost: Argon2Cost,
}

impl Passphrase {
    /// A passphrase with the default cost.
    pub fn new(text: Zeroizing<Vec<u8>>) -> Self {
        Self::with_cost(text, Argon2Cost::default())
    }

    /// A passphrase with another cost for the files it writes; files it reads carry their own.
    pub fn with_cost(text: Zeroizing<Vec<u8>>, cost: Argon2Cost) -> Self {
        Self { text, cost }
    }

    /// Reads a passphrase from a file that nobody else may read; a line break at the end is not part of it.
    ///
    /// # Errors
    /// When it is empty or too long, or others may read it.
    pub fn from_file(path: &Path) -> Result<Self, RootFileError> {
        let mut text = store::read_secret(path, MAX_PASSPHRASE)?;
        while text.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            text.pop();
        }
        if text.is_empty() {
            return Err(RootFileError::SecretFile {
                path: path.display().to_string(),
                expected: "a passphrase",
                actual: "an empty file".to_owned(),
            });
        }
        Ok(Self::new(text))
    }
}

/// What wraps a root file.
pub enum Wrapping {
    /// A key.
    Key(WrappingKey),
    /// A passphrase, for development.
    Passphrase(Passphrase),
}

/// How a file is wrapped, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Key,
    Argon2id(Argon2Cost),
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Argon2id(_) => "passphrase",
        }
    }
}

impl Wrapping {
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Key(_) => Method::Key,
            Self::Passphrase(passphrase) => Method::Argon2id(passphrase.cost),
        }
    }

    /// The 32 bytes that the file's keys are derived from.
    pub(super) fn ikm(&self, method: Method, salt: &[u8; 32]) -> Result<Secret<32>, RootFileError> {
        match (self, method) {
            (Self::Key(key), Method::Key) => Ok(Secret::new(Box::new(*key.0.expose()))),
            (Self::Passphrase(passphrase), Method::Argon2id(cost)) => {
                let params = cost.checked()?;
                let mut ikm = Secret::zeroed();
                argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
                    .hash_password_into(&passphrase.text, salt, ikm.expose_mut())
                    .map_err(|_| RootFileError::Cost {
                        memory_kib: cost.memory_kib,
                        passes: cost.passes,
                        lanes: cost.lanes,
                    })?;
                Ok(ikm)
            }
            _ => Err(RootFileError::WrappedBy {
                expected: self.method().name(),
                actual: method.name(),
            }),
        }
    }
}
