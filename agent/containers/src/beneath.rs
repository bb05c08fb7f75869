//! Files and folders below a folder that containers write to. A container can put a link there that leads to the guest's own
//! files; so no link is followed on the way, and what was found is mounted by its descriptor, which nobody can exchange, at a
//! place that no container sees.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::mount::mount_bind_recursive;

use crate::{files, rootfs};

/// A place to mount from, kept until the container is made.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    staged: bool,
}

impl Held {
    /// A path that the owner of the app wrote in full; its links are the guest's.
    pub(crate) fn absolute(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            staged: false,
        }
    }

    /// What is at a path below a folder, mounted at `stage`, which no container sees; missing folders are made when `create`.
    pub(crate) fn below(root: &Path, inside: &Path, create: bool, stage: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = match open(root, inside, flags) {
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => make(root, inside)?,
            other => other?,
        };
        rootfs::clear(stage)?;
        std::fs::create_dir_all(stage.parent().unwrap_or(Path::new("/")))?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::Directory {
            std::fs::create_dir(stage)?;
        } else {
            std::fs::File::create_new(stage)?;
        }
        let held = Self {
            path: stage.to_owned(),
            staged: true,
        };
        // By the descriptor: the names that led to it may mean something else by now.
        mount_bind_recursive(format!("/proc/self/fd/{}", file.as_raw_fd()), stage)?;
        Ok(held)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.staged
            && let Err(error) = rootfs::clear(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a folder stays mounted until the next start");
        }
    }
}

/// Reads a regular file below a folder, at most so many bytes.
pub(crate) fn read(root: &Path, inside: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    files::read_file(open(root, inside, flags)?.into(), most)
}

// G14: a link that one container left leads another, or the agent as root, to files of the guest.
fn open(root: &Path, inside: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let folder = openat2(
        CWD,
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::empty(),
    )?;
    step(&folder, inside, flags)
}

fn step(folder: &OwnedFd, inside: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    if inside
        .components()
        .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "expected a path without .. below the folder",
        ));
    }
    let inside = if inside.as_os_str().is_empty() {
        Path::new(".")
    } else {
        inside
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(folder, inside, flags, Mode::empty(), resolve).map_err(|error| match error {
        rustix::io::Errno::LOOP => io::Error::new(
            io::ErrorKind::InvalidData,
            "expected no link on the way, since a container may have put it there, got one",
        ),
        error => error.into(),
    })
}

fn make(root: &Path, inside: &Path) -> io::Result<OwnedFd> {
    let folders = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = open(root, Path::new("."), folders)?;
    for part in inside.components() {
        let part = Path::new(part.as_os_str());
        match mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        folder = step(&folder, part, folders)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn g14_a_link_is_followed_nowhere_on_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let (root, secret) = (folder.path().join("root"), folder.path().join("secret"));
        std::fs::create_dir_all(root.join("real/inner")).unwrap();
        std::fs::create_dir(&secret).unwrap();
        std::fs::write(secret.join("key"), "secret").unwrap();
        symlink(&secret, root.join("link")).unwrap();
        symlink("../../secret", root.join("real/climbs")).unwrap();
        symlink("inner", root.join("real/stays")).unwrap();
        for inside in [
            "link",
            "link/key",
            "real/climbs",
            "real/climbs/new",
            "real/stays",
            "../secret",
            "/",
            "real/../../secret",
        ] {
            for create in [false, true] {
                assert!(
                    Held::below(&root, Path::new(inside), create, &folder.path().join("stage")).is_err(),
                    "{inside} {create}"
                );
            }
            assert!(read(&root, Path::new(inside), 100).is_err(), "{inside}");
        }
        assert!(!secret.join("new").exists());
        std::fs::write(root.join("real/inner/file"), "mine").unwrap();
        assert_eq!(read(&root, Path::new("real/inner/file"), 4).unwrap(), b"mine");
        assert!(read(&root, Path::new("real/inner/file"), 3).is_err());
    }

    #[test]
    fn g14_what_is_held_is_what_was_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let held = Held::below(root, Path::new("a/b"), true, &root.join("stage/one")).unwrap();
        std::fs::write(root.join("a/b/mine"), "").unwrap();
        std::fs::rename(root.join("a/b"), root.join("a/moved")).unwrap();
        symlink("/etc", root.join("a/b")).unwrap();
        assert!(held.path().join("mine").exists());
        assert!(!held.path().join("passwd").exists());
        let stage = held.path().to_owned();
        drop(held);
        assert!(!stage.exists() && root.join("a/moved/mine").exists());
        assert!(Held::below(root, Path::new("missing"), false, &root.join("stage/two")).is_err());
    }
}
