//! Confirmed collateral on disk. A file is written whole or not at all; one that does not parse is as if it were not there.

use super::CollateralKey;
use attestation::{Collateral, MAX_COLLATERAL_BYTES};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// A folder of collateral.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// `None` for an empty path.
    pub(super) fn open(folder: &Path) -> std::io::Result<Option<Self>> {
        if folder.as_os_str().is_empty() {
            return Ok(None);
        }
        fs::create_dir_all(folder)?;
        Ok(Some(Self {
            folder: folder.to_owned(),
        }))
    }

    fn path(&self, key: &CollateralKey) -> PathBuf {
        // The name is hex and one of two words: nothing of a quote reaches the path otherwise.
        self.folder.join(format!("{key}.json"))
    }

    /// Reads; blocking.
    pub(super) fn load(&self, key: &CollateralKey) -> Option<Collateral> {
        let file = File::open(self.path(key)).ok()?;
        // Q8: a file is bounded like any other document.
        let mut text = Vec::new();
        file.take(2 * MAX_COLLATERAL_BYTES as u64)
            .read_to_end(&mut text)
            .ok()?;
        Collateral::from_json(&text)
            .inspect_err(|error| tracing::warn!(%key, %error, "collateral on disk is not usable"))
            .ok()
    }

    /// Writes; blocking.
    pub(super) fn save(&self, key: &CollateralKey, collateral: &Collateral) -> std::io::Result<()> {
        let path = self.path(key);
        let next = path.with_extension("json.next");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&next)?;
        file.write_all(&collateral.to_json())?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        File::open(&self.folder)?.sync_all()
    }
}
