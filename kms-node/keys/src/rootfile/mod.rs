//! The roots at rest: one file, several epochs, wrapped by a key that is not in it.
//!
//! Refuses a file of another version, one that is damaged, one that another key wrapped, and files that others may read.
//! A file is replaced whole or not at all.

mod format;
mod store;
mod wrap;

pub use wrap::{Argon2Cost, Passphrase, Wrapping, WrappingKey};

use crate::secret::EpochRoot;
use rand::CryptoRng;
use std::{io, path::Path};

/// Epochs in one file.
pub(crate) const MAX_EPOCHS: usize = 256;

/// Why roots cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RootFileError {
    /// The key or passphrase is another than the one that wrapped the file.
    #[error("root file: expected the key that wrapped it, got another")]
    WrongKey,
    /// The file is not what was written.
    #[error("root file: expected {expected}, got {actual}; restore it from a backup or another node")]
    Damaged {
        /// What should be there.
        expected: &'static str,
        /// What is.
        actual: String,
    },
    /// Written by other software.
    #[error("root file: expected version {expected}, got {actual}")]
    Version {
        /// Version read here.
        expected: u32,
        /// Version of the file.
        actual: u32,
    },
    /// Wrapped in another way than the caller offers.
    #[error("root file: expected it to be wrapped by a {expected}, got one wrapped by a {actual}")]
    WrappedBy {
        /// What the caller has.
        expected: &'static str,
        /// What the file needs.
        actual: &'static str,
    },
    /// Argon2id parameters outside the accepted range.
    #[error("root file: expected Argon2id memory of {min} to {max} KiB and small pass counts, got {memory_kib} KiB, {passes} passes, {lanes} lanes", min = wrap::MIN_MEMORY_KIB, max = wrap::MAX_MEMORY_KIB)]
    Cost {
        /// KiB of memory.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// Not a list of epochs.
    #[error("root file: expected 1 to {MAX_EPOCHS} epochs, each once, in order, from 1; got {actual}")]
    Epochs {
        /// What came.
        actual: String,
    },
    /// A secret file that others may read, or one of another kind or size.
    #[error("{path}: expected {expected}, got {actual}")]
    SecretFile {
        /// Which file.
        path: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        actual: String,
    },
    /// There are roots already.
    #[error("{path}: expected no file, got one; roots are never overwritten by fresh ones")]
    Exists {
        /// Which file.
        path: String,
    },
    /// The file system refused.
    #[error("{path}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reading and writing of the root file.
#[derive(Debug, Clone, Copy)]
pub struct RootFile;

impl RootFile {
    /// Wraps roots: the bytes of a file. Each call makes a new salt, and by it a new key.
    ///
    /// # Errors
    /// When the epochs are none, too many, repeated or out of order.
    pub fn seal<R: CryptoRng + ?Sized>(
        roots: &[&EpochRoot],
        wrapping: &Wrapping,
        rng: &mut R,
    ) -> Result<Vec<u8>, RootFileError> {
        format::seal(roots, wrapping, rng)
    }

    /// Unwraps roots from the bytes of a file, oldest epoch first.
    ///
    /// # Errors
    /// When the version, the key or the bytes are not as expected.
    pub fn open(bytes: &[u8], wrapping: &Wrapping) -> Result<Vec<EpochRoot>, RootFileError> {
        format::open(bytes, wrapping)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`RootFile::open`], and when others may read the file.
    pub fn read(path: &Path, wrapping: &Wrapping) -> Result<Vec<EpochRoot>, RootFileError> {
        format::open(&store::read_secret(path, format::MAX_FILE)?, wrapping)
    }

    /// Writes the first file of a node; refuses when there is one.
    ///
    /// # Errors
    /// As [`RootFile::seal`], and when the file exists or cannot be written.
    pub fn create<R: CryptoRng + ?Sized>(
        path: &Path,
        roots: &[&EpochRoot],
        wrapping: &Wrapping,
        rng: &mut R,
    ) -> Result<(), RootFileError> {
        let bytes = format::seal(roots, wrapping, rng)?;
        store::write(path, &bytes, store::Target::Absent, rng)
    }

    /// Replaces a file, in one step: after a crash there is the old one or the new one.
    ///
    /// # Errors
    /// As [`RootFile::seal`], and when the file cannot be written.
    pub fn replace<R: CryptoRng + ?Sized>(
        path: &Path,
        roots: &[&EpochRoot],
        wrapping: &Wrapping,
        rng: &mut R,
    ) -> Result<(), RootFileError> {
        let bytes = format::seal(roots, wrapping, rng)?;
        store::write(path, &bytes, store::Target::Any, rng)
    }
}

/// Writes a file that others cannot read, whole or not at all; refuses when there is one.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn create_private<R: CryptoRng + ?Sized>(
    path: &Path,
    bytes: &[u8],
    rng: &mut R,
) -> Result<(), RootFileError> {
    store::write(path, bytes, store::Target::Absent, rng)
}

/// Reads at most `max` bytes of a file that others cannot read.
///
/// # Errors
/// When it is another kind of file, longer, or others may read it.
pub fn read_private(path: &Path, max: usize) -> Result<zeroize::Zeroizing<Vec<u8>>, RootFileError> {
    store::read_secret(path, max)
}
