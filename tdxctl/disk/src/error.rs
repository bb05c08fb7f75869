//! Why a disk cannot be used. Nothing of it leads to another way of opening it.

use kms_types::DiskGeneration;
use std::path::{Path, PathBuf};

/// Why the disk stays closed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// There is none, or more than one.
    #[error("expected one disk with the serial {serial}, found {found}")]
    Found {
        /// Serial that was looked for.
        serial: String,
        /// How many have it.
        found: usize,
    },
    /// It is smaller than the format needs.
    #[error("the disk has {actual} bytes, expected at least {expected}")]
    Small {
        /// Bytes needed.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// It is smaller than it was.
    #[error("the disk became smaller: expected at least {expected} bytes, got {actual} (check G4)")]
    Shrunk {
        /// Bytes its marker says.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// It is neither empty nor authenticated under this instance's key.
    #[error("the disk is neither empty nor of this app, instance and key: {actual}")]
    NotOurs {
        /// What is on it.
        actual: &'static str,
    },
    /// It is to be opened, and holds nothing.
    #[error("expected a disk of this instance, found one nothing was ever stored on")]
    Empty,
    /// It is to be formatted, and is this instance's already.
    #[error("expected an empty disk, found this instance's own")]
    Formatted,
    /// It is an older state of itself, or another copy.
    #[error("the disk was set back: expected generation {expected} or a higher one, got {actual} (check G4)")]
    SetBack {
        /// Highest generation that is known.
        expected: DiskGeneration,
        /// What its marker says; 0 for a disk without data.
        actual: DiskGeneration,
    },
    /// The header is not the one the marker names.
    #[error("the LUKS2 header is not the one this guest wrote: {0}")]
    Header(#[from] crate::header::HeaderError),
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("{program} failed: {message}")]
    Program {
        /// Its name.
        program: &'static str,
        /// Its last words.
        message: String,
    },
}

impl DiskError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Whether somebody was found to have changed or swapped the disk, as against a disk that cannot be used now.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::NotOurs { .. } | Self::Shrunk { .. } | Self::SetBack { .. } | Self::Header(_)
        )
    }
}
