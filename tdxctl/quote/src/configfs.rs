//! The TD of a TDX guest kernel: reports through configfs (kernel documentation, ABI/testing/configfs-tsm-report), registers
//! through sysfs. Refuses reports of another provider and reports another writer could have changed.
//!
//! Needs Linux 6.16, whose driver shows the registers as files. Before that no upstream kernel extends one for a program, and
//! the ioctl that patched kernels have differs between them in number and layout, so it is not spoken here.
//! Not run on TDX hardware here: tests drive it against a tree of named pipes that answers byte for byte as the ABI says.

use crate::{
    MAX_QUOTE, Td, TdError, TdRegisters, limits,
    log_file::LogFile,
    rtmr::{self, RtmrFile},
};
use kms_types::{EventLogEntry, ReportData};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};
use zeroize::Zeroizing;

const PROVIDER: &str = "tdx_guest";
/// How often a report is asked for when the kernel is busy or somebody writes in between.
const ATTEMPTS: u32 = 5;
/// Pause after the first busy answer; doubled each time.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// Names tried for an entry: a killed process leaves its own behind, and process ids come again.
const NAMES: u32 = 64;

/// Where the kernel and the log are.
#[derive(Debug, Clone)]
pub struct TsmPaths {
    /// Folder in which report entries are made.
    pub reports: PathBuf,
    /// Folder of the registers' files.
    pub measurements: PathBuf,
    /// Event log, JSON lines; on a file system that is empty after each boot, as the register is.
    pub event_log: PathBuf,
}

impl Default for TsmPaths {
    fn default() -> Self {
        Self {
            reports: "/sys/kernel/config/tsm/report".into(),
            measurements: "/sys/devices/virtual/misc/tdx_guest/measurements".into(),
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
    /// Opens an attribute to read it.
    ///
    /// # Errors
    /// As the file system says.
    fn open(&self, attribute: &Path) -> io::Result<File> {
        File::open(attribute)
    }
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
    measurements: PathBuf,
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
            register: RtmrFile::new(paths.measurements.join(rtmr::RTMR3)),
            measurements: paths.measurements,
            log: LogFile::new(paths.event_log),
            entries,
            next_entry: AtomicU64::new(0),
        }
    }

    /// Makes an entry under a name nobody has.
    fn make_entry(&self) -> Result<PathBuf, TdError> {
        for _ in 0..NAMES {
            // Entries are shared by the whole guest; a name of our own process and count keeps requests apart.
            let number = self.next_entry.fetch_add(1, Ordering::Relaxed);
            let entry = self
                .reports
                .join(format!("kedge-{}-{number}", std::process::id()));
            match self.entries.make(&entry) {
                Ok(()) => return Ok(entry),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => (),
                Err(error) if error.kind() == ErrorKind::NotFound || no_provider(&error) => {
                    return Err(TdError::NoReports {
                        path: self.reports.display().to_string(),
                        source: error,
                    });
                }
                Err(error) => return Err(TdError::io(&entry)(error)),
            }
        }
        Err(TdError::Shape {
            path: self.reports.display().to_string(),
            expected: "a name for a report entry that is not taken",
            actual: format!("{NAMES} that are"),
        })
    }

    /// One report; again when the kernel still works on an earlier one, or when somebody else wrote to the entry meanwhile.
    fn report(&self, entry: &Path, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        let provider = self.text(&entry.join("provider"))?;
        if provider != PROVIDER {
            return Err(TdError::Provider {
                path: entry.join("provider").display().to_string(),
                expected: PROVIDER,
                actual: provider,
            });
        }
        let mut pause = BUSY_PAUSE;
        let mut attempt = 1;
        loop {
            match self.one_report(entry, report_data) {
                Err(TdError::Generation { .. }) if attempt < ATTEMPTS => (),
                Err(error) if error.is_busy() && attempt < ATTEMPTS => {
                    wait(pause);
                    pause *= 2;
                }
                other => return other,
            }
            attempt += 1;
        }
    }

    fn one_report(&self, entry: &Path, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        let before = self.generation(entry)?;
        // The kernel takes the value when the file is closed, where it can no longer refuse it: only the generation tells.
        write(&entry.join("inblob"), report_data.as_ref())?;
        let quote = self.read(&entry.join("outblob"), MAX_QUOTE)?;
        let after = self.generation(entry)?;
        // Q7: a second writer could have replaced our report data before the kernel made the report.
        if before.checked_add(1) != Some(after) {
            return Err(TdError::Generation {
                path: entry.join("generation").display().to_string(),
                expected: format!("{before} + 1"),
                actual: after.to_string(),
            });
        }
        if quote.is_empty() {
            return Err(TdError::Empty { what: "quote" });
        }
        Ok(quote)
    }

    fn generation(&self, entry: &Path) -> Result<u64, TdError> {
        let path = entry.join("generation");
        let text = self.text(&path)?;
        text.parse().map_err(|_| TdError::Shape {
            path: path.display().to_string(),
            expected: "a decimal number",
            actual: text,
        })
    }

    /// A one-line kernel attribute, without its line end.
    fn text(&self, path: &Path) -> Result<String, TdError> {
        let bytes = self.read(path, 256)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
    }

    fn read(&self, path: &Path, max: usize) -> Result<Vec<u8>, TdError> {
        let file = self.entries.open(path).map_err(TdError::io(path))?;
        limits::read_bounded(file, path, max)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the kernel tells nobody when its earlier report is done"
)]
fn wait(pause: Duration) {
    thread::sleep(pause);
}

/// The kernel has the interface and no driver behind it: ENXIO, which has no name of its own.
fn no_provider(error: &io::Error) -> bool {
    const ENXIO: i32 = 6;
    error.raw_os_error() == Some(ENXIO)
}

impl Td for ConfigfsTd {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        let entry = self.make_entry()?;
        let quote = self.report(&entry, report_data);
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

    fn registers(&self) -> Result<TdRegisters, TdError> {
        rtmr::registers(&self.measurements)
    }

    fn sealing_key(&self, _context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
        Err(TdError::Unsupported { what: "sealing key" })
    }
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
