//! The programs that make and boot an image, from the set `tools` of the lock: unpacked once into a folder named after the lock's
//! entries, and started by that folder's own dynamic linker, so neither the machine's packages nor root are needed.

use crate::deb::{DebError, unpack};
use crate::packages::lock::Lock;
use crate::packages::mirror::Mirror;
use crate::tree::{Kind, Tree};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const SET: &str = "tools";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Tools that cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// A package cannot be fetched.
    #[error("{0:#}")]
    Mirror(anyhow::Error),
    /// A package cannot be unpacked.
    #[error(transparent)]
    Package(#[from] DebError),
    /// The folder cannot be written.
    #[error("{path}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program ended badly.
    #[error("{program} failed: {message}")]
    Failed {
        /// Its name.
        program: String,
        /// Its last words.
        message: String,
    },
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> ToolsError + '_ {
    move |source| ToolsError::Io {
        path: path.to_owned(),
        source,
    }
}

/// An unpacked set of tools.
#[derive(Debug, Clone)]
pub struct Tools(PathBuf);

impl Tools {
    /// The lock's tools below `cache`, unpacked now unless they are there.
    ///
    /// # Errors
    /// When a package cannot be fetched or unpacked.
    pub async fn ready(lock: &Lock, mirror: &Mirror, cache: &Path) -> Result<Self, ToolsError> {
        let name = lock
            .set(SET)
            .fold(Sha256::new(), |hash, package| hash.chain_update(&package.sha256));
        let folder = cache
            .join("tools")
            .join(hex::encode(name.finalize()).get(..16).unwrap_or_default());
        if folder.is_dir() {
            return Ok(Self(folder));
        }
        let mut tree = Tree::default();
        for package in lock.set(SET) {
            let file = mirror.file(package).await.map_err(ToolsError::Mirror)?;
            let bytes = std::fs::read(&file).map_err(at(&file))?;
            unpack(&bytes, &mut tree, |path| {
                !path.starts_with("usr/share/doc/") && !path.starts_with("usr/share/man/")
            })?;
        }
        tree.settle().map_err(DebError::from)?;
        let above = cache.join("tools");
        std::fs::create_dir_all(&above).map_err(at(&above))?;
        // What a failed or killed build leaves is in nobody's way; what fails here is taken away.
        let part = tempfile::Builder::new()
            .suffix(".part")
            .tempdir_in(&above)
            .map_err(at(&above))?;
        let made = part.path().join("tools");
        write(&tree, &made)?;
        match std::fs::rename(&made, &folder) {
            // Another build was first.
            Err(_) if folder.is_dir() => {}
            done => done.map_err(at(&folder))?,
        }
        Ok(Self(folder))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The folder's name, which follows from the packages.
    #[must_use]
    pub fn name(&self) -> String {
        self.0
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// A file of the tools.
    ///
    /// # Errors
    /// When it is not there.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ToolsError> {
        let path = self.0.join(path);
        std::fs::read(&path).map_err(at(&path))
    }

    /// Runs a program with nothing of this process's environment; gives what it printed.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub fn run(&self, program: &str, arguments: &[&std::ffi::OsStr]) -> Result<String, ToolsError> {
        let linker = self.0.join(LIBRARIES).join("ld-linux-x86-64.so.2");
        // mkfs.erofs has the umask in the inode it keeps the ends of files in.
        let output = Command::new("/bin/sh")
            .args(["-c", r#"umask 022 && exec "$@""#, "sh"])
            .arg(&linker)
            .arg("--library-path")
            .arg(self.0.join(LIBRARIES))
            .arg(self.0.join(program))
            .args(arguments)
            .env_clear()
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .output()
            .map_err(at(&linker))?;
        if !output.status.success() {
            return Err(ToolsError::Failed {
                program: program.to_owned(),
                message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Writes a tree as files of the user's own: permission bits are kept, owners are not.
fn write(tree: &Tree, folder: &Path) -> Result<(), ToolsError> {
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    for (path, entry) in tree.iter() {
        let path = folder.join(path);
        let done = match &entry.kind {
            Kind::Folder => std::fs::create_dir_all(&path),
            Kind::Link(target) => symlink(target, &path),
            Kind::File(bytes) => std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(entry.mode & 0o777)
                .open(&path)
                .and_then(|mut file| file.write_all(bytes)),
            Kind::Same(_) => Err(std::io::Error::other("still a hard link")),
        };
        done.map_err(at(&path))?;
    }
    Ok(())
}
