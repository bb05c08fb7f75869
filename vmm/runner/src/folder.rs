//! The folder of a running VM: sockets, the host's document, logs; readable by its owner alone. One VM at a time has it. What a VM that
//! was killed left is taken away before the next one starts; its logs stay for whoever wants to know.

use crate::{Places, RunnerError};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

const SECTOR: usize = 512;
/// Bytes of a data disk that ends with the VM; only what is written takes room.
const SCRATCH: u64 = 4 << 30;
/// Bytes of a socket's path, as the kernel bounds it.
const MAX_SOCKET: usize = 107;
/// The longest of the names below.
const LONGEST: usize = "/progress.sock".len();

/// A folder, taken.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes or takes over a folder.
    pub(crate) fn take(path: &Path) -> Result<Self, RunnerError> {
        let path = std::path::absolute(path).map_err(RunnerError::io(path))?;
        let fault = |expected: &str, actual: String| RunnerError::Config {
            what: "folder of the VM",
            expected: expected.to_owned(),
            actual,
        };
        if path.as_os_str().len() + LONGEST > MAX_SOCKET {
            let expected = format!("a path of at most {} bytes", MAX_SOCKET - LONGEST);
            return Err(fault(&expected, path.display().to_string()));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(RunnerError::io(&path))?;
        let mode = fs::metadata(&path).map_err(RunnerError::io(&path))?.mode();
        // Whoever can reach the sockets is the guest's host.
        if mode & 0o077 != 0 {
            return Err(fault(
                "one that only its owner can read (mode 0700)",
                format!("{} with mode {:04o}", path.display(), mode & 0o7777),
            ));
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(RunnerError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(fault(
                    "one that no other VM uses",
                    format!("{}, which one does", path.display()),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(RunnerError::io(&path)(error)),
        }
        let folder = Self { path, _lock: lock };
        folder.clear();
        Ok(folder)
    }

    /// Where everything is, with the caller's data disk or one of its own.
    pub(crate) fn places(&self, data: Option<&Path>) -> Places {
        Places {
            host: self.path.join("host.disk"),
            data: data.map_or_else(|| self.path.join("scratch.disk"), Path::to_owned),
            console: self.path.join("console.sock"),
            progress: self.path.join("progress.sock"),
            monitor: self.path.join("monitor.sock"),
            td: self.path.join("td.sock"),
        }
    }

    /// Makes the disk with the host's document, and the data disk when it is the folder's own.
    pub(crate) fn make_disks(&self, document: &[u8], own_data: bool) -> Result<(), RunnerError> {
        let places = self.places(None);
        let mut padded = document.to_vec();
        padded.resize(document.len().max(1).next_multiple_of(SECTOR), 0);
        let new = |path: &Path| {
            OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(path)
        };
        new(&places.host)
            .and_then(|mut file| file.write_all(&padded))
            .map_err(RunnerError::io(&places.host))?;
        if own_data {
            new(&places.data)
                .and_then(|file| file.set_len(SCRATCH))
                .map_err(RunnerError::io(&places.data))?;
        }
        Ok(())
    }

    /// The file that keeps the console.
    pub(crate) fn console_log(&self) -> PathBuf {
        self.path.join("console.log")
    }

    /// The file that tells the software TD how to start.
    pub(crate) fn boot_file(&self) -> PathBuf {
        self.path.join("boot.json")
    }

    /// Listens at one of its sockets.
    pub(crate) fn listen(socket: &Path) -> Result<UnixListener, RunnerError> {
        UnixListener::bind(socket).map_err(RunnerError::io(socket))
    }

    fn clear(&self) {
        let places = self.places(None);
        for path in [
            places.host,
            places.data,
            places.console,
            places.progress,
            places.monitor,
            places.td,
            self.boot_file(),
        ] {
            match fs::remove_file(&path) {
                // What cannot be removed is in the way of the next start, which says so.
                Err(error) if error.kind() != ErrorKind::NotFound => {}
                _ => {}
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.clear();
    }
}
