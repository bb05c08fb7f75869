//! Where everything of a guest is.

use crate::{FileError, GuestKeys, HandOver, Progress, handover, keys, progress};
use std::path::{Path, PathBuf};

/// The two folders of a guest: one that is gone after a reboot, one the storage stage opens.
///
/// In a VM these are `/run/kedge` (tmpfs, 0700) and `/var/lib/kedge`; under sim-process two folders of the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestPaths {
    run: PathBuf,
    data: PathBuf,
}

impl Default for GuestPaths {
    fn default() -> Self {
        Self::new("/run/kedge", "/var/lib/kedge")
    }
}

impl GuestPaths {
    /// A guest in these two folders.
    pub fn new(run: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            data: data.into(),
        }
    }

    /// Folder of this boot: secrets, sockets, the hand-over.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Folder that outlives a boot.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The hand-over document; where it is, setup is done.
    pub fn handover(&self) -> PathBuf {
        self.run.join("handover.json")
    }

    /// Keys of the agent.
    pub fn app_keys(&self) -> PathBuf {
        self.run.join("app-keys.json")
    }

    /// The decrypted environment, `{"env":[{"key","value"}]}`.
    pub fn env(&self) -> PathBuf {
        self.run.join("env.json")
    }

    /// The measured app-compose.json, byte for byte.
    pub fn app_compose(&self) -> PathBuf {
        self.run.join("app-compose.json")
    }

    /// How far the boot is.
    pub fn progress(&self) -> PathBuf {
        self.run.join("progress.json")
    }

    /// The app socket, under the name of dstack's SDKs.
    pub fn dstack_socket(&self) -> PathBuf {
        self.run.join("dstack.sock")
    }

    /// The same socket under our name.
    pub fn kedge_socket(&self) -> PathBuf {
        self.run.join("kedge.sock")
    }

    /// The socket of dstack's older SDKs.
    pub fn tappd_socket(&self) -> PathBuf {
        self.run.join("tappd.sock")
    }

    /// The control socket, for the host's tools under sim-process and for tests.
    pub fn agent_socket(&self) -> PathBuf {
        self.run.join("agent.sock")
    }

    /// Writes the hand-over document. The last act of setup.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_handover(&self, handover: &HandOver) -> Result<(), FileError> {
        handover::write(&self.handover(), handover)
    }

    /// Reads the hand-over document.
    ///
    /// # Errors
    /// [`FileError::Missing`] before setup is done; otherwise when it cannot be read or is of another form.
    pub fn read_handover(&self) -> Result<HandOver, FileError> {
        handover::read(&self.handover())
    }

    /// Writes the keys of the agent.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_keys(&self, keys: &GuestKeys) -> Result<(), FileError> {
        keys::write(&self.app_keys(), keys)
    }

    /// Reads the keys of the agent.
    ///
    /// # Errors
    /// When they are not there, cannot be read, or are of another form.
    pub fn read_keys(&self) -> Result<GuestKeys, FileError> {
        keys::read(&self.app_keys())
    }

    /// Writes how far the boot is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_progress(&self, progress: &Progress) -> Result<(), FileError> {
        progress::write(&self.progress(), progress)
    }

    /// Reads how far the boot is.
    ///
    /// # Errors
    /// When nothing was reported, or it cannot be read.
    pub fn read_progress(&self) -> Result<Progress, FileError> {
        progress::read(&self.progress())
    }
}
