//! Taking a folder away without taking away what is mounted in it: a program that was killed may have left a mount of a volume or of
//! the owner's project there, and removing a folder's files goes through mounts.

use anyhow::{Context, Result};
use rustix::mount::{UnmountFlags, unmount};
use std::{
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// Unmounts what is mounted below a folder, then removes it.
///
/// # Errors
/// When something stays mounted, or the folder does not let go; nothing that is mounted is touched.
pub(super) fn remove(folder: &Path) -> Result<()> {
    let folder = fs::canonicalize(folder).with_context(|| format!("remove {}", folder.display()))?;
    // The last mount comes off first.
    for point in mounts_below(&folder)?.into_iter().rev() {
        unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).with_context(|| {
            format!(
                "unmount {}, which is in the way of removing {}",
                point.display(),
                folder.display()
            )
        })?;
    }
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
}

/// Mount points below a folder, in the order they were mounted.
fn mounts_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    let points = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    Ok(points
        .map(unescape)
        .filter(|point| point.starts_with(folder))
        .collect())
}

/// A path of mountinfo, where blanks and backslashes stand as `\` and three octal digits (proc(5)).
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) if *byte == b'\\' => {
                bytes.push(value);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_mounted_in_a_folder_outlives_it() {
        let home = tempfile::tempdir().unwrap();
        let (volume, run) = (home.path().join("volume"), home.path().join("run with blank"));
        fs::create_dir_all(run.join("look/one")).unwrap();
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("rows"), "kept").unwrap();
        rustix::mount::mount_bind(&volume, run.join("look/one")).unwrap();
        assert!(run.join("look/one/rows").exists());
        remove(&run).unwrap();
        assert!(!run.exists());
        assert_eq!(fs::read_to_string(volume.join("rows")).unwrap(), "kept");
    }
}
