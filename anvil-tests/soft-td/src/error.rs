//! What can go wrong while a platform or a TD is made.

use std::{io, path::Path};

/// Why there is no platform, TD, quote or collateral.
#[derive(Debug, thiserror::Error)]
pub enum SoftTdError {
    /// A key could not be derived.
    #[error("could not derive {bytes} bytes from the platform seed")]
    Derivation {
        /// How many.
        bytes: usize,
    },
    /// A certificate or revocation list could not be made.
    #[error("certificate")]
    Certificate(#[from] rcgen::Error),
    /// A time lies outside what certificates can say.
    #[error("time: expected one a certificate can hold, got {actual}")]
    Time {
        /// Seconds since 1970.
        actual: u64,
    },
    /// A document could not be written as JSON.
    #[error("JSON")]
    Json(#[from] serde_json::Error),
    /// A file could not be used.
    #[error("{path}: could not be used")]
    Io {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path}: expected {expected}, got {actual}")]
    File {
        /// Which.
        path: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        actual: String,
    },
    /// The boot file is not a boot file.
    #[error("{path}: not a boot file")]
    BootFile {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A catalogue could not be read.
    #[error("catalogue")]
    Catalogue(#[from] td_measure::CatalogueError),
    /// The image has no such shape or measurement.
    #[error("measurement: expected one of {expected}, got {actual:?}")]
    NoMeasurement {
        /// What there is.
        expected: String,
        /// What was asked.
        actual: String,
    },
    /// A boot event was refused.
    #[error("boot event")]
    Event(#[from] td_quote::TdError),
}

impl SoftTdError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, source }
    }
}
