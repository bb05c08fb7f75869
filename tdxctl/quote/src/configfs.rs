//! The TD of a TDX guest kernel: reports through configfs (kernel documentation, ABI/testing/configfs-tsm-report), RTMR3
//! through sysfs. Refuses reports of another provider and reports another writer could have changed.
//!
//! Not run on TDX hardware here: tests drive it against a tree of named pipes that answers byte for byte as the ABI says.

use crate::{MAX_QUOTE, Td, TdError, limits, log_file::LogFile, rtmr::RtmrFile};
use kms_types::{EventLogEntry, ReportData};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use zeroize::Zeroizing;

const PROVIDER: &str = "tdx_guest";

/// Where the kernel and the log are.
#[derive(Debug, Clone)]
pub struct TsmPaths {
    /// Folder in which report entries are made.
    pub reports: PathBuf,
    /// Measurement file of RTMR3.
    pub rtmr3: PathBuf,
    /// Event log, JSON lines; on a file system that is empty after each boot, as the register is.
    pub event_log: PathBuf,
}

impl Default for TsmPaths {
    fn default() -> Self {
        Self {
            reports: "/sys/kernel/config/tsm/report".into(),
            rtmr3: "/sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384".into(),
            event_log: "/run/kedge/rtmr3.jsonl".into(),
        }
    }
}

/// Makes and removes report entries. The kernel fills the folder that is made; a plain file system does not, so tests
/// bring their own.
pub trait Entries: Send + Sync {
    /// Makes the entry, which must not exist.
    ///
    /// # Errors
    /// As the file system says.
    fn make(&self, entry: &Path) -> io::Result<()>;
    /// Removes the entry.
    ///
    /// # Errors
    /// As the file system says.
    fn remove(&self, entry: &Path) -> io::Result<()>;
}

/// Entries of configfs: `mkdir` and `rmdir`.
#[derive(Debug, Clone, Copy)]
pub struct KernelEntries;

impl Entries for KernelEntries {
    fn make(&self, entry: &Path) -> io::Result<()> {
        fs::create_dir(entry)
    }
    fn remove(&self, entry: &Path) -> io::Result<()> {
        fs::remove_dir(entry)
    }
}

/// The TD this process runs in.
pub struct ConfigfsTd {
    reports: PathBuf,
    register: RtmrFile,
    log: LogFile,
    entries: Box<dyn Entries>,
    next_entry: AtomicU64,
}

impl ConfigfsTd {
    /// A TD behind these paths.
    pub fn new(paths: TsmPaths) -> Self {
        Self::with_entries(paths, Box::new(KernelEntries))
    }

    /// The same with another way of making entries.
    pub fn with_entries(paths: TsmPaths, entries: Box<dyn Entries>) -> Self {
        Self {
            reports: paths.reports,
            register: RtmrFile::new(paths.rtmr3),
            log: LogFile::new(paths.event_log),
            entries,
            next_entry: AtomicU64::new(0),
        }
    }

    fn report(entry: &Path, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        let provider = text(&entry.join("provider"))?;
        if provider != PROVIDER {
            return Err(TdError::Provider {
                expected: PROVIDER,
                actual: provider,
            });
        }
        let before = generation(entry)?;
        write(&entry.join("inblob"), report_data.as_ref())?;
        let quote = limits::read_bounded(&entry.join("outblob"), MAX_QUOTE)?;
        let after = generation(entry)?;
        // Q7: a second writer could have replaced our report data before the kernel made the report.
        if before.checked_add(1) != Some(after) {
            return Err(TdError::Generation {
                expected: format!("{before} + 1"),
                actual: after.to_string(),
            });
        }
        if quote.is_empty() {
            return Err(TdError::Empty { what: "quote" });
        }
        Ok(quote)
    }
}

impl Td for ConfigfsTd {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        // Entries are shared by the whole guest; a name of our own process and count keeps requests apart.
        let number = self.next_entry.fetch_add(1, Ordering::Relaxed);
        let entry = self
            .reports
            .join(format!("kedge-{}-{number}", std::process::id()));
        self.entries.make(&entry).map_err(TdError::io(&entry))?;
        let quote = Self::report(&entry, report_data);
        let removed = self.entries.remove(&entry).map_err(TdError::io(&entry));
        let quote = quote?;
        removed?;
        Ok(quote)
    }

    fn extend(&self, name: &str, payload: &[u8]) -> Result<EventLogEntry, TdError> {
        limits::check_event_name(name)?;
        let entry = EventLogEntry::runtime(name, payload)?;
        // One lock around register and log, so that two processes cannot record their events in another order than
        // the register saw them. A crash in between leaves a log that no longer replays, which verifiers refuse.
        self.log.append(&entry, || self.register.extend(&entry))?;
        Ok(entry)
    }

    fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError> {
        self.log.read()
    }

    fn sealing_key(&self, _context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
        Err(TdError::Unsupported { what: "sealing key" })
    }
}

/// A one-line kernel attribute, without its line end.
fn text(path: &Path) -> Result<String, TdError> {
    let bytes = limits::read_bounded(path, 256)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

fn generation(entry: &Path) -> Result<u64, TdError> {
    let path = entry.join("generation");
    let text = text(&path)?;
    text.parse().map_err(|_| TdError::Shape {
        path: path.display().to_string(),
        expected: "a decimal number",
        actual: text,
    })
}

/// Writes an attribute in one call, as configfs and sysfs take them. Never creates the file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), TdError> {
    let mut file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(TdError::io(path))?;
    let written = file.write(bytes).map_err(TdError::io(path))?;
    if written != bytes.len() {
        return Err(TdError::Shape {
            path: path.display().to_string(),
            expected: "one write of the whole value",
            actual: format!("{written} of {} bytes", bytes.len()),
        });
    }
    Ok(())
}
