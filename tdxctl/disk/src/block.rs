//! Disks by their serial, reads and writes that are on the disk when they return.

use crate::DiskError;
use rustix::fs::{OFlags, SeekFrom, seek};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const DEVICES: &str = "/sys/class/block";

/// The one disk with this serial. Names follow the order in which a host plugs disks in, and decide nothing.
///
/// # Errors
/// When there is none or more than one.
pub fn by_serial(serial: &str) -> Result<PathBuf, DiskError> {
    let folder = Path::new(DEVICES);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(DiskError::io(folder))? {
        let name = entry.map_err(DiskError::io(folder))?.file_name();
        // A file of the kernel's, at most a page long.
        let text = fs::read_to_string(folder.join(&name).join("serial")).unwrap_or_default();
        if text.trim_end() == serial {
            found.push(Path::new("/dev").join(name));
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([device]) => Ok(device),
        Err(found) => Err(DiskError::Found {
            serial: serial.to_owned(),
            found: found.len(),
        }),
    }
}

/// An open disk.
pub(crate) struct Block {
    path: PathBuf,
    file: File,
}

impl Block {
    pub(crate) fn open(path: &Path) -> Result<Self, DiskError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from((OFlags::DSYNC | OFlags::CLOEXEC).bits()).unwrap_or_default())
            .open(path)
            .map_err(DiskError::io(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn size(&self) -> Result<u64, DiskError> {
        seek(&self.file, SeekFrom::End(0)).map_err(|error| DiskError::io(&self.path)(error.into()))
    }

    pub(crate) fn read<const N: usize>(&self, at: u64) -> Result<[u8; N], DiskError> {
        let mut bytes = [0; N];
        self.file
            .read_exact_at(&mut bytes, at)
            .map_err(DiskError::io(&self.path))?;
        Ok(bytes)
    }

    pub(crate) fn read_vec(&self, at: u64, length: usize) -> Result<Vec<u8>, DiskError> {
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, at)
            .map_err(DiskError::io(&self.path))?;
        Ok(bytes)
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file
            .write_all_at(bytes, at)
            .and_then(|()| self.file.sync_all())
            .map_err(DiskError::io(&self.path))
    }
}
