//! Files written whole or not at all, for their owner only; read within a bound and never through a link.

use crate::FileError;
use serde::de::DeserializeOwned;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use zeroize::Zeroizing;

/// Writes a file that only its owner can read, in place of an older one.
///
/// After a crash at any moment there is the old file or the new one. The folder must exist.
///
/// # Errors
/// When the disk or the folder refuses; the older file is untouched then.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let fail = |action| {
        move |source| FileError::Io {
            path: path.to_owned(),
            action,
            source,
        }
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    // A new file under a fresh name, 0600 from the first moment; it takes itself away if it is not kept.
    let mut fresh = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)
        .map_err(fail("could not be created"))?;
    let written = fresh
        .write_all(contents)
        .and_then(|()| fresh.as_file().sync_all());
    written.map_err(fail("could not be written"))?;
    fresh
        .persist(path)
        .map_err(|error| fail("could not be put in place")(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(fail("could not be made durable"))
}

/// Reads a regular file of at most `max` bytes. What was read is wiped when dropped.
///
/// # Errors
/// When there is none, it is a link or of another kind, or it is longer.
pub fn read_bounded(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing {
            path: path.to_owned(),
        },
        _ => FileError::Io {
            path: path.to_owned(),
            action: "could not be read",
            source,
        },
    };
    // Without O_NONBLOCK opening a pipe would wait for its writer.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    let file = options.open(path).map_err(fail)?;
    let about = file.metadata().map_err(fail)?;
    if !about.is_file() {
        return Err(FileError::Kind {
            path: path.to_owned(),
        });
    }
    let too_long = || FileError::TooLong {
        path: path.to_owned(),
        max,
    };
    let length = usize::try_from(about.len()).ok().filter(|length| *length <= max);
    // One allocation: a buffer that grew would leave unwiped copies behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(length.ok_or_else(too_long)?.saturating_add(1)));
    file.take(max as u64 + 1)
        .read_to_end(&mut contents)
        .map_err(fail)?;
    if contents.len() > max {
        return Err(too_long());
    }
    Ok(contents)
}

/// Reads a JSON document of at most `max` bytes.
pub(crate) fn read_json<T: DeserializeOwned>(
    path: &Path,
    max: usize,
    expected: &'static str,
) -> Result<T, FileError> {
    let text = read_bounded(path, max)?;
    serde_json::from_slice(&text).map_err(|error| FileError::Form {
        path: path.to_owned(),
        expected,
        line: error.line(),
        column: error.column(),
    })
}
