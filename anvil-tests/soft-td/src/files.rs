//! Files of the command: bounded reads, and the folder that holds a platform's seed.

use crate::{PlatformSeed, SoftTdError};
use rand::TryRngCore;
use std::{
    fs::{DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

const SEED_FILE: &str = "platform-seed";
const SEED_LEN: usize = 32;

/// Reads a file whole, refusing more than `max` bytes before they are kept.
pub(crate) fn read_bounded(path: &Path, max: usize) -> Result<Vec<u8>, SoftTdError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(SoftTdError::io(path))?;
    file.take(max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(SoftTdError::io(path))?;
    if bytes.len() > max {
        return Err(SoftTdError::File {
            path: path.display().to_string(),
            expected: "a shorter file",
            actual: format!("more than {max} bytes"),
        });
    }
    Ok(bytes)
}

impl PlatformSeed {
    /// The seed kept in `folder` as `platform-seed`, mode 0600; made at random when there is none. Several processes may
    /// ask at once and get the same.
    ///
    /// # Errors
    /// When the file cannot be read or written, is not 32 bytes, or others may read it.
    pub fn load_or_create(folder: &Path) -> Result<Self, SoftTdError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(SoftTdError::io(folder))?;
        let path = folder.join(SEED_FILE);
        if !path.exists() {
            create(folder, &path)?;
        }
        load(&path)
    }
}

/// Writes a fresh seed beside its place and moves it there unless one has come first, so nobody ever reads half of one.
fn create(folder: &Path, path: &Path) -> Result<(), SoftTdError> {
    let mut seed = Zeroizing::new([0; SEED_LEN]);
    rand::rngs::OsRng
        .try_fill_bytes(seed.as_mut())
        .map_err(|error| SoftTdError::io(path)(io::Error::other(error)))?;
    // Temporary files are 0600 from their first moment.
    let mut draft = NamedTempFile::new_in(folder).map_err(SoftTdError::io(folder))?;
    let written = draft
        .write_all(seed.as_ref())
        .and_then(|()| draft.as_file().sync_all());
    written.map_err(SoftTdError::io(folder))?;
    match draft.persist_noclobber(path) {
        Err(lost) if lost.error.kind() != io::ErrorKind::AlreadyExists => {
            Err(SoftTdError::io(path)(lost.error))
        }
        _ => Ok(()),
    }
}

fn load(path: &Path) -> Result<PlatformSeed, SoftTdError> {
    let wrong = |expected, actual| SoftTdError::File {
        path: path.display().to_string(),
        expected,
        actual,
    };
    let mut file = File::open(path).map_err(SoftTdError::io(path))?;
    let mode = file.metadata().map_err(SoftTdError::io(path))?.mode() & 0o777;
    // K4: whoever reads the seed can sign for this platform and open what its TDs sealed.
    if mode & 0o077 != 0 {
        return Err(wrong("mode 0600", format!("{mode:04o}")));
    }
    let length = file.metadata().map_err(SoftTdError::io(path))?.len();
    if length != SEED_LEN as u64 {
        return Err(wrong("32 bytes", format!("{length} bytes")));
    }
    let mut seed = Box::new([0; SEED_LEN]);
    file.read_exact(seed.as_mut()).map_err(SoftTdError::io(path))?;
    Ok(PlatformSeed::new(seed))
}
