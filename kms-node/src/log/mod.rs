//! The release log: every release is in it before its answer leaves, or the answer does not leave.
//!
//! One writer commits what waits as one transaction with one signed tree head. Refuses (as [`LogError`]) when the
//! database does not take the entry, for whatever reason.

pub mod tree;

mod generations;
mod reader;
mod writer;

pub use reader::LogReader;
pub use writer::{ReleaseLog, TreeSigner};

use crate::store::StoreError;
use kms_types::DiskGeneration;
use std::sync::Arc;

/// Why a release is not in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The database did not take it.
    #[error("release log")]
    Store(#[source] Arc<StoreError>),
    /// Too many releases wait for the database.
    #[error("release log: expected at most {limit} waiting releases, got more")]
    Full {
        /// Bound of the queue.
        limit: usize,
    },
    /// A lease reports an older disk than was reported before.
    #[error("disk generation: expected {expected} or a higher number, got {actual}")]
    SetBack {
        /// Highest that was reported.
        expected: DiskGeneration,
        /// What came.
        actual: DiskGeneration,
    },
    /// The writer has stopped.
    #[error("release log: the writer has stopped")]
    Stopped,
}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<sqlx::Error> for LogError {
    fn from(error: sqlx::Error) -> Self {
        Self::from(StoreError::from(error))
    }
}
