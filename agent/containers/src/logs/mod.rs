//! Logs of containers: JSON lines in files that rotate by size, written by a program the shim starts (so that they go on
//! without the agent), read here with tail, since and follow. A torn last line, as a power cut leaves it, is skipped.

mod line;
mod read;
mod rotate;
mod write;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use line::{LogLine, Stream};
pub use read::{LogQuery, LogReader, MAX_TAIL};
pub(crate) use write::finished;
pub use write::{WriterError, write_until_closed};

/// Longest text of one record; longer lines are cut into several.
pub const MAX_LINE: usize = 16 * 1024;

/// What the log writer of one container is told, as a file: the shim passes one argument.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Folder of this container's log files.
    pub folder: PathBuf,
    /// A file that would grow past this is rotated.
    pub max_size: u64,
    /// Files kept, the current one included; at least 1.
    pub max_file: u32,
}

impl LogSettings {
    /// Sizes when the project names none: unlike Docker's default they are bounded, since a full disk stops every service.
    pub const DEFAULT_MAX_SIZE: u64 = 10 * 1024 * 1024;
    /// Files kept when the project names no number.
    pub const DEFAULT_MAX_FILE: u32 = 3;
}
