//! Where the host document comes from: one block device or one file, read once, within the bound. No file system of the host's
//! is mounted and no link is followed.

use crate::{MAX_DOCUMENT, StageError};
use rustix::fs::{FileType, Mode, OFlags};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

const ADVICE: &str = "give the path of the document's disk, or of a regular file that is no link";

/// Reads the document. On a block device it ends at the first zero byte, since a device is longer than what is on it.
///
/// # Errors
/// When the path is a link or of another kind, or holds more than [`MAX_DOCUMENT`] bytes.
pub fn read_document(path: &Path) -> Result<Vec<u8>, StageError> {
    let failed = |error: io::Error| {
        StageError::could_not_ask(format!("host document {}: {error}", path.display()), ADVICE)
    };
    // G1: a link would let the host choose which of the guest's own files is read; a pipe would hold the boot up for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP) => {
            return Err(StageError::malformed(
                format!(
                    "host document {}: expected a file, got a link (check G1)",
                    path.display()
                ),
                ADVICE,
            ));
        }
        other => File::from(other.map_err(|errno| failed(errno.into()))?),
    };
    let kind = rustix::fs::fstat(&file).map_err(|errno| failed(errno.into()))?;
    let device = match FileType::from_raw_mode(kind.st_mode) {
        FileType::RegularFile => false,
        FileType::BlockDevice => true,
        other => {
            return Err(StageError::malformed(
                format!(
                    "host document {}: expected a regular file or a block device, got {other:?} (check G1)",
                    path.display()
                ),
                ADVICE,
            ));
        }
    };
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if device && let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    if bytes.len() > MAX_DOCUMENT {
        return Err(StageError::malformed(
            format!("host document: expected at most {MAX_DOCUMENT} bytes, got more (check G1)"),
            ADVICE,
        ));
    }
    Ok(bytes)
}
