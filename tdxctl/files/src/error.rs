//! Why a file of the guest folder could not be written or read. The contents are never repeated: some are secret.

use std::{io, path::PathBuf};

/// What went wrong, with which file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("{}: there is no such file", .path.display())]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// It could not be read or written.
    #[error("{}: {action}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not the regular file it should be.
    #[error("{}: expected a regular file, got another kind", .path.display())]
    Kind {
        /// Which.
        path: PathBuf,
    },
    /// It is longer than it may be.
    #[error("{}: expected at most {max} bytes, got more", .path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// The bound.
        max: usize,
    },
    /// It is not of the expected form; the parser's own words could quote a secret and are left out.
    #[error("{}: expected {expected}, got something else at line {line}, column {column}", .path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Line of the first fault.
        line: usize,
        /// Its column.
        column: usize,
    },
}

impl FileError {
    /// True when the file simply is not there.
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}
