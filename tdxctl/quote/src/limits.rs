//! Bounds on what a TD says. They equal those of the KMS protocol, so what is made here is never refused there for its size.

use crate::TdError;
use std::{fs::File, io::Read, path::Path};

/// Bytes of a quote.
pub const MAX_QUOTE: usize = 16 * 1024;
/// Bytes of an event log, counted over names, payloads and digests.
pub const MAX_EVENT_LOG: usize = 1024 * 1024;
/// Entries of an event log.
pub const MAX_EVENTS: usize = 1024;
/// Bytes of an event name.
pub const MAX_EVENT_NAME: usize = 128;
/// Bytes of one line of JSON, in a log file or on a socket: hex doubles the largest event log, JSON adds a little.
pub const MAX_LINE: usize = 2 * MAX_EVENT_LOG + 512 * 1024;

/// Reads a small file whole, refusing more than `max` bytes before they are kept. `path` names it in errors.
pub(crate) fn read_bounded(file: File, path: &Path, max: usize) -> Result<Vec<u8>, TdError> {
    let mut bytes = Vec::new();
    file.take(max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(TdError::io(path))?;
    TdError::bound(&path.display().to_string(), max, bytes.len())?;
    Ok(bytes)
}

/// Refuses an event name that verifiers would refuse, before it reaches a register that cannot be taken back.
pub(crate) fn check_event_name(name: &str) -> Result<(), TdError> {
    TdError::bound("event name", MAX_EVENT_NAME, name.len())?;
    if name.is_empty() {
        return Err(TdError::Empty { what: "event name" });
    }
    Ok(())
}
