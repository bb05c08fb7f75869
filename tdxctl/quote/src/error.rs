//! What can go wrong between software and its trust domain.

use kms_types::{BlobTooLong, Rtmr};
use std::{io, path::Path};

/// Why a TD gave no answer, or one that was refused.
#[derive(Debug, thiserror::Error)]
pub enum TdError {
    /// A file or socket did not do its part.
    #[error("{path}: could not be used")]
    Io {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `open` was given something else than its two forms.
    #[error("TD: expected \"tsm\" or \"socket:PATH\", got {actual:?}")]
    Spec {
        /// What came.
        actual: String,
    },
    /// A value is above its bound.
    #[error("{what}: expected at most {max} bytes, got {actual} or more")]
    TooLong {
        /// Which value.
        what: String,
        /// The bound.
        max: usize,
        /// What came.
        actual: usize,
    },
    /// A value that must not be empty is.
    #[error("{what}: expected at least one byte, got none")]
    Empty {
        /// Which value.
        what: &'static str,
    },
    /// The event's payload is above its bound.
    #[error(transparent)]
    Payload(#[from] BlobTooLong),
    /// Reports are made by something that is not a TDX guest.
    #[error("report provider: expected {expected:?}, got {actual:?}")]
    Provider {
        /// The provider of TDX guests.
        expected: &'static str,
        /// What the kernel named.
        actual: String,
    },
    /// Somebody else wrote to the report entry between our writing and our reading.
    #[error("report generation: expected {expected}, got {actual}")]
    Generation {
        /// The generation after our one write.
        expected: String,
        /// What the kernel counted.
        actual: String,
    },
    /// The register holds another value than the extension gives.
    #[error("RTMR3 after the extension: expected {expected}, got {actual}")]
    Register {
        /// What the extension gives.
        expected: Rtmr,
        /// What the register holds.
        actual: Rtmr,
    },
    /// A kernel file holds something of another shape.
    #[error("{path}: expected {expected}, got {actual}")]
    Shape {
        /// The file.
        path: String,
        /// What should be there.
        expected: &'static str,
        /// What is.
        actual: String,
    },
    /// The event log would hold more than a verifier reads.
    #[error("event log: expected at most {max} events, got {actual}")]
    TooManyEvents {
        /// The bound.
        max: usize,
        /// What it would hold.
        actual: usize,
    },
    /// The event log file is damaged.
    #[error("event log: line {line} is not an event")]
    Log {
        /// Line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The other side of the socket speaks another protocol.
    #[error("TD socket: expected {expected}, got {actual}")]
    Protocol {
        /// What should have come.
        expected: &'static str,
        /// What came.
        actual: String,
    },
    /// The simulated TD refused.
    #[error("simulated TD: {message}")]
    Remote {
        /// Its words.
        message: String,
    },
    /// This kind of TD cannot do that.
    #[error("{what}: not supported by this kind of TD")]
    Unsupported {
        /// What was asked.
        what: &'static str,
    },
}

impl TdError {
    /// Names the file in front of what the system said.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, source }
    }

    /// Refuses more than `max` bytes.
    pub(crate) fn bound(what: &str, max: usize, actual: usize) -> Result<(), Self> {
        if actual > max {
            return Err(Self::TooLong {
                what: what.to_owned(),
                max,
                actual,
            });
        }
        Ok(())
    }
}
