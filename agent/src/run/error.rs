//! Why the agent does not run.

use crate::{app::AppError, socket::OpenError};
use guest_files::FileError;
use kms_client::{PinError, PoolError};
use kms_types::ComposeHash;
use std::io;

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What setup leaves is not there, or cannot be read.
    #[error("setup")]
    Files(#[from] FileError),
    /// The compose document is not the measured one.
    #[error("compose document: expected the measured hash {expected}, got {actual}")]
    ComposeHash {
        /// The measured one.
        expected: ComposeHash,
        /// Of the file.
        actual: ComposeHash,
    },
    /// The compose document cannot be read.
    #[error("compose document: {0}")]
    Compose(String),
    /// Hand-over and keys are of two guests.
    #[error("{what}: expected {expected}, got {actual}")]
    Mixed {
        /// Which part.
        what: &'static str,
        /// Of the hand-over.
        expected: String,
        /// Of the keys.
        actual: String,
    },
    /// The disk that is to be counted.
    #[error("the data disk")]
    Disk(#[source] guest_disk::DiskError),
    /// The TD cannot be opened.
    #[error("the TD")]
    Td(#[from] td_quote::TdError),
    /// The app socket cannot be served.
    #[error("the app socket")]
    Socket(#[from] OpenError),
    /// The identity of the KMS.
    #[error("the KMS")]
    Pin(#[from] PinError),
    /// The addresses of the KMS.
    #[error("the KMS")]
    Pool(#[from] Box<PoolError>),
    /// The app.
    #[error("the app")]
    App(#[from] AppError),
    /// The system.
    #[error("{what}")]
    System {
        /// What was asked of it.
        what: String,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// No metrics.
    #[error("metrics: {0}")]
    Metrics(String),
    /// A part of the agent ended by itself.
    #[error("{0}: expected to go on until the agent ends, it has ended")]
    Ended(&'static str),
}

impl RunError {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Files(FileError::Missing { .. }) => {
                "run `tdxctl setup` first; it leaves handover.json in the run folder"
            }
            Self::Files(_) | Self::ComposeHash { .. } | Self::Compose(_) | Self::Mixed { .. } => {
                "boot the guest again: what setup left does not fit together"
            }
            Self::Disk(_) => "look at the data disk: the app requires that set-backs of it are detected",
            Self::Td(_) | Self::Socket(_) => "look at the TD: tdxctl quote",
            Self::Pin(_) | Self::Pool(_) => "look at kms_urls and kms_identity of the host document",
            Self::App(error) => error.advice(),
            Self::System { .. } => "look at the folders and ports the configuration names",
            Self::Metrics(_) | Self::Ended(_) => "start the agent again; its log says why",
        }
    }
}
