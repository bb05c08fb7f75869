//! A look into a container's root file system before it runs: who its users are, and what a new volume starts with. Paths
//! are resolved inside the root by the kernel, so that a link in an image leads nowhere else.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use containerd_client::types::Mount;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::error::RuntimeError;
use crate::files;
use crate::spec::user::MAX_FILE;

/// Deepest tree that is copied into a volume.
const MAX_DEPTH: usize = 128;

/// A mounted root; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Rootfs {
    path: PathBuf,
}

impl Rootfs {
    /// Mounts a snapshot at a folder of ours.
    pub(crate) fn mount(path: &Path, mounts: &[Mount]) -> Result<Self, RuntimeError> {
        let [one] = mounts else {
            return Err(RuntimeError::Malformed {
                what: "mounts of a snapshot".to_owned(),
                expected: "one mount",
                got: mounts.len().to_string(),
            });
        };
        clear(path).map_err(RuntimeError::io(path, "unmounting"))?;
        std::fs::create_dir_all(path).map_err(RuntimeError::io(path, "making a folder"))?;
        let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let mut data = Vec::new();
        for option in &one.options {
            match option.as_str() {
                "ro" => flags |= MountFlags::RDONLY,
                "rw" => {}
                "bind" => flags |= MountFlags::BIND,
                "rbind" => flags |= MountFlags::BIND | MountFlags::REC,
                other => data.push(other),
            }
        }
        let data = std::ffi::CString::new(data.join(",")).map_err(|_| RuntimeError::Malformed {
            what: "mount options of a snapshot".to_owned(),
            expected: "text without zero bytes",
            got: "a zero byte".to_owned(),
        })?;
        mount(
            one.source.as_str(),
            path,
            one.r#type.as_str(),
            flags,
            Some(data.as_c_str()),
        )
        .map_err(|error| RuntimeError::io(path, "mounting a snapshot")(error.into()))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// A small text file of the image; empty when it is not there.
    pub(crate) fn read_text(&self, inside: &str) -> Result<String, RuntimeError> {
        let failed = RuntimeError::io(self.path.join(inside), "reading a file of the image");
        let file = match self.open(inside, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(failed(error)),
        };
        let bytes = files::read_file(File::from(file), MAX_FILE).map_err(failed)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Makes a volume's folder with what the image has at a path, or empty. It appears whole or not at all.
    pub(crate) fn fill_volume(&self, folder: &Path, inside: Option<&str>) -> Result<(), RuntimeError> {
        // A link in its place is refused when it is opened to be mounted.
        if folder.symlink_metadata().is_ok() {
            return Ok(());
        }
        let failed = |error| RuntimeError::io(folder, "making a volume")(error);
        let parent = folder.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).map_err(failed)?;
        let fresh = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(parent)
            .map_err(failed)?;
        std::fs::set_permissions(fresh.path(), PermissionsExt::from_mode(0o755)).map_err(failed)?;
        let source = match inside {
            Some(inside) => match self.open(inside, OFlags::RDONLY | OFlags::DIRECTORY) {
                Ok(source) => Some(source),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => None,
                Err(error) => return Err(failed(error)),
            },
            None => None,
        };
        if let Some(source) = source {
            copy_folder(&source, fresh.path(), 0).map_err(failed)?;
        }
        let made = fresh.keep();
        std::fs::rename(made, folder).map_err(failed)
    }

    fn open(&self, inside: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let root = File::open(&self.path)?;
        let flags = flags | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&root, inside, flags, Mode::empty(), resolve)?)
    }
}

impl Drop for Rootfs {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a snapshot stays mounted");
        }
    }
}

/// Unmounts what an interrupted look left, and removes the folder.
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    loop {
        match unmount(path, UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => break,
            Err(error) => return Err(error.into()),
        }
    }
    match std::fs::remove_dir(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotADirectory => std::fs::remove_file(path),
        _ => Err(error),
    }) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies folders, files and links with their owners and modes. Devices, pipes and sockets stay behind.
fn copy_folder(source: &OwnedFd, target: &Path, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("more than {MAX_DEPTH} nested folders"),
        ));
    }
    for entry in Dir::read_from(source)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let to = target.join(std::ffi::OsStr::new(&*name.to_string_lossy()));
        let stat = statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let owner = (Some(stat.st_uid), Some(stat.st_gid));
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                std::fs::DirBuilder::new().mode(0o700).create(&to)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = rustix::fs::openat(source.as_fd(), name, flags, Mode::empty())?;
                copy_folder(&inner, &to, depth + 1)?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let mut from = File::from(rustix::fs::openat(source.as_fd(), name, flags, Mode::empty())?);
                let mut into = File::create_new(&to)?;
                io::copy(&mut from, &mut into)?;
                std::os::unix::fs::fchown(&into, owner.0, owner.1)?;
                into.set_permissions(PermissionsExt::from_mode(stat.st_mode & 0o7777))?;
            }
            FileType::Symlink => {
                let link = readlinkat(source, name, Vec::new())?;
                std::os::unix::fs::symlink(std::ffi::OsStr::new(&*link.to_string_lossy()), &to)?;
                std::os::unix::fs::lchown(&to, owner.0, owner.1)?;
            }
            _ => {}
        }
    }
    let of = File::from(source.try_clone()?).metadata()?;
    std::os::unix::fs::chown(target, Some(of.uid()), Some(of.gid()))?;
    std::fs::set_permissions(target, PermissionsExt::from_mode(of.mode() & 0o7777))
}
