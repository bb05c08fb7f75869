//! The event log of RTMR3 as a file: one event in JSON per line, only ever appended to, mode 0600.
//! Refuses damaged lines and more than a verifier would read.

use crate::{MAX_EVENT_LOG, MAX_EVENTS, MAX_LINE, TdError};
use kms_types::EventLogEntry;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

pub(crate) struct LogFile(PathBuf);

impl LogFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Runs `extend` and appends the entry, with the file locked against every other process.
    pub(crate) fn append(
        &self,
        entry: &EventLogEntry,
        extend: impl FnOnce() -> Result<(), TdError>,
    ) -> Result<(), TdError> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.0)
            .map_err(TdError::io(&self.0))?;
        file.lock().map_err(TdError::io(&self.0))?;
        let mut entries = self.parse(&mut file)?;
        entries.push(entry.clone());
        // Checked before the register moves: an event beyond the bounds could never be shown to a verifier again.
        check_bounds(&entries)?;
        let mut line = serde_json::to_vec(entry).map_err(|source| TdError::Log {
            line: entries.len(),
            source,
        })?;
        line.push(b'\n');
        extend()?;
        file.seek(SeekFrom::End(0))
            .and_then(|_| file.write_all(&line))
            .and_then(|()| file.sync_data())
            .map_err(TdError::io(&self.0))
    }

    /// Every entry; none when the file does not exist yet.
    pub(crate) fn read(&self) -> Result<Vec<EventLogEntry>, TdError> {
        let mut file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(TdError::io(&self.0)(error)),
        };
        file.lock_shared().map_err(TdError::io(&self.0))?;
        self.parse(&mut file)
    }

    fn parse(&self, file: &mut File) -> Result<Vec<EventLogEntry>, TdError> {
        let mut text = Vec::new();
        file.take(MAX_LINE as u64 + 1)
            .read_to_end(&mut text)
            .map_err(TdError::io(&self.0))?;
        TdError::bound("event log", MAX_LINE, text.len())?;
        // A crash while writing leaves a last line without its end; the next event would be glued to it.
        if text.last().is_some_and(|byte| *byte != b'\n') {
            return Err(TdError::Shape {
                path: self.0.display().to_string(),
                expected: "a line end after every event",
                actual: "a last line without one".to_owned(),
            });
        }
        let mut entries = Vec::new();
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let entry = serde_json::from_slice(line).map_err(|source| TdError::Log {
                line: index + 1,
                source,
            })?;
            entries.push(entry);
        }
        check_bounds(&entries)?;
        Ok(entries)
    }
}

fn check_bounds(entries: &[EventLogEntry]) -> Result<(), TdError> {
    if entries.len() > MAX_EVENTS {
        return Err(TdError::TooManyEvents {
            max: MAX_EVENTS,
            actual: entries.len(),
        });
    }
    let size = entries
        .iter()
        .map(|e| e.event.len() + e.event_payload.as_bytes().len() + e.digest.as_bytes().len())
        .sum();
    TdError::bound("event log", MAX_EVENT_LOG, size)
}
