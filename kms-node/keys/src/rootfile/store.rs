//! Files with secrets: read only when nobody else may, written whole or not at all.

use super::RootFileError;
use rand::CryptoRng;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// What may stand at the path before a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Nothing.
    Absent,
    /// An older file.
    Any,
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> RootFileError + '_ {
    move |source| RootFileError::Io {
        path: path.display().to_string(),
        source,
    }
}

/// Reads at most `max` bytes of a regular file that only its owner can read.
pub(super) fn read_secret(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, RootFileError> {
    let refused = |expected: &'static str, actual: String| RootFileError::SecretFile {
        path: path.display().to_string(),
        expected,
        actual,
    };
    let file = File::open(path).map_err(io_at(path))?;
    // Asked of the open file: a name can change hands between two calls.
    let metadata = file.metadata().map_err(io_at(path))?;
    if !metadata.is_file() {
        return Err(refused("a regular file", "another kind of file".to_owned()));
    }
    // K4: a secret that a second account can read is not one.
    if metadata.mode() & 0o077 != 0 {
        return Err(refused("mode 0600", format!("{:04o}", metadata.mode() & 0o7777)));
    }
    if metadata.len() > max as u64 {
        return Err(refused(
            "a smaller file",
            format!("{} bytes where at most {max} may be", metadata.len()),
        ));
    }
    // Room for one byte more than allowed, so that the buffer never moves and leaves a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max + 1));
    file.take(max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io_at(path))?;
    if bytes.len() > max {
        return Err(refused("a smaller file", format!("more than {max} bytes")));
    }
    Ok(bytes)
}

/// Writes a new file beside the path, then puts it in place in one step.
pub(super) fn write<R: CryptoRng + ?Sized>(
    path: &Path,
    bytes: &[u8],
    target: Target,
    rng: &mut R,
) -> Result<(), RootFileError> {
    let temporary = beside(path, rng.next_u64());
    let written = write_new(&temporary, bytes).and_then(|()| match target {
        // A link fails where a rename would overwrite.
        Target::Absent => fs::hard_link(&temporary, path),
        Target::Any => fs::rename(&temporary, path),
    });
    if written.is_err() || target == Target::Absent {
        let _ = fs::remove_file(&temporary);
    }
    match written {
        Err(error) if target == Target::Absent && error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RootFileError::Exists {
                path: path.display().to_string(),
            });
        }
        other => other.map_err(io_at(path))?,
    }
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Without it a crash can bring back a folder in which the new name is not there yet.
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(io_at(folder))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // K4: the mode is there from the first byte on, not after a chmod.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path, unique: u64) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{unique:016x}.new"));
    path.with_file_name(name)
}
