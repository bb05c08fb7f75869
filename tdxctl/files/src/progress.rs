//! How far a boot is: the last report of the last stage. For people and for the VMM; nothing is decided by it.

use crate::{FileError, file};
use kms_types::UnixTime;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Bytes of a report.
const MAX_PROGRESS: usize = 64 * 1024;

/// Where a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageState {
    /// At work.
    Running,
    /// Done.
    Done,
    /// Given up.
    Failed,
}

/// What kind of reason a stage gave up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// An input is not what it should be.
    Malformed,
    /// A check failed, or somebody who was asked said no.
    Refused,
    /// Somebody or something could not be asked: a TD, a KMS, a disk. Trying again may help.
    CouldNotAsk,
}

/// One report of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Which stage.
    pub stage: String,
    /// Where it is.
    pub state: StageState,
    /// What it does, or why it gave up.
    pub message: String,
    /// What kind of reason; there if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FailureKind>,
    /// What to do about it; empty unless it failed.
    #[serde(default)]
    pub advice: String,
    /// When.
    pub time: UnixTime,
}

pub(crate) fn write(path: &Path, progress: &Progress) -> Result<(), FileError> {
    let text = serde_json::to_vec(progress).map_err(|error| FileError::Io {
        path: path.to_owned(),
        action: "could not be put into words",
        source: error.into(),
    })?;
    file::write_private(path, &text)
}

pub(crate) fn read(path: &Path) -> Result<Progress, FileError> {
    file::read_json(path, MAX_PROGRESS, "a progress report")
}
