//! The folder a network lives in: temporary and gone on drop, or kept between runs. Readable by its owner alone.

use anyhow::{Context, Result};
use std::{
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A network's folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Folder {
    /// A fresh folder that is removed on drop.
    ///
    /// # Errors
    /// When the system's temporary folder cannot be written.
    pub fn temporary() -> Result<Self> {
        // Paths of unix sockets are bounded to 108 bytes, so the folder's own name is kept short.
        let folder = tempfile::Builder::new()
            .prefix("kedge-")
            .tempdir()
            .context("temporary folder")?;
        let kept = Self {
            path: folder.path().to_owned(),
            temporary: Some(folder),
        };
        kept.prepare()?;
        Ok(kept)
    }

    /// A folder that stays.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn kept(path: &Path) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("create {}", path.display()))?;
        // K4: the folder holds the owner's key and the platform's seed.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        let folder = Self {
            path: path.canonicalize()?,
            temporary: None,
        };
        folder.prepare()?;
        Ok(folder)
    }

    fn prepare(&self) -> Result<()> {
        for part in [self.logs(), self.path.join("tds")] {
            std::fs::create_dir_all(&part).with_context(|| format!("create {}", part.display()))?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes with the network.
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Keeps a temporary folder, to look into after a failure.
    pub fn keep(&mut self) -> &Path {
        if let Some(folder) = self.temporary.take() {
            let _ = folder.keep();
        }
        &self.path
    }

    /// Log files of the children.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// The software platform's seed.
    pub fn platform(&self) -> PathBuf {
        self.path.join("platform")
    }

    /// The saved chain.
    pub fn chain(&self) -> PathBuf {
        self.path.join("chain.gz")
    }

    /// What a running or stopped network is: [`crate::Description`].
    pub fn description(&self) -> PathBuf {
        self.path.join("network.json")
    }

    /// One KMS node's own folder.
    pub fn node(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The catalogue of the network's OS image.
    pub fn catalogue(&self) -> PathBuf {
        self.path.join("catalogue.json")
    }

    /// Socket of a software TD.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.path.join("tds").join(format!("{name}.sock"))
    }
}

/// Writes a file whole or not at all, readable by the owner alone.
///
/// # Errors
/// When the disk does not play along.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let fresh = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(|| format!("write {}", fresh.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path).with_context(|| format!("write {}", path.display()))
}
