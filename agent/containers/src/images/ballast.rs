//! Space held during a pull and given back when the disk is full: containerd writes before it removes (its databases copy the
//! pages they change), so on a disk without a free byte nothing could be taken away again.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};

/// Both databases of containerd change some pages of 4 KiB each.
const SIZE: u64 = 1 << 20;

/// Files without a name: they are gone with the process that holds them.
#[derive(Default)]
pub(crate) struct Ballast(Mutex<Vec<File>>);

impl Ballast {
    /// Takes space on the disks of these folders. A disk that gives none is for the caller's own check to report.
    pub(crate) fn hold(&self, folders: &[PathBuf]) {
        let held = folders.iter().filter_map(|folder| {
            let file = tempfile::tempfile_in(folder).ok()?;
            fallocate(&file, FallocateFlags::empty(), 0, SIZE).ok()?;
            Some(file)
        });
        let held: Vec<File> = held.collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Gives the space back.
    pub(crate) fn drop_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
