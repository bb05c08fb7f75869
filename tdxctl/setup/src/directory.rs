//! The directory backend: a plain folder, for the platform without a VM. NOT encrypted: whoever can read the folder has the
//! data, and whoever can write it can set it back.
//!
//! A folder carries a marker under the disk key. One with files and no marker, or with another's marker, is refused and left
//! as it is: nothing is ever formatted because it looks empty or broken.

use crate::{
    StageError, StorageRequest,
    storage::{holds, owner_tag},
};
use guest_files::{FileError, Storage, StorageKind, read_bounded, write_private};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

const MARKER: &str = "kedge-storage.json";
const MAX_MARKER: usize = 4096;
/// What an interrupted write leaves behind.
const UNFINISHED: &str = ".new-";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    version: u32,
    #[serde(with = "hex::serde")]
    owner: [u8; 32],
}

/// A plain folder as a disk.
#[derive(Debug, Clone)]
pub struct DirectoryStorage {
    path: PathBuf,
}

impl DirectoryStorage {
    /// At this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Opens the folder, and marks a new one.
    ///
    /// # Errors
    /// When it is another's, holds files without a marker, or cannot be used.
    pub fn open(&self, request: &StorageRequest<'_>) -> Result<Storage, StageError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|error| self.unusable(&error))?;
        let expected = owner_tag(request.key, &request.app_id, &request.instance_id);
        match read_bounded(&self.marker(), MAX_MARKER) {
            Ok(text) => self.check(&text, &expected)?,
            Err(FileError::Missing { .. }) => self.mark(&expected)?,
            Err(error) => return Err(self.unusable(&error)),
        }
        Ok(Storage {
            kind: StorageKind::Directory,
            encrypted: false,
            generation: None,
            counted: None,
            path: self.path.clone(),
        })
    }

    fn marker(&self) -> PathBuf {
        self.path.join(MARKER)
    }

    // G4: data of another app or instance must neither be shown to this one nor be overwritten by it.
    fn check(&self, text: &[u8], expected: &[u8; 32]) -> Result<(), StageError> {
        match serde_json::from_slice::<Marker>(text) {
            Ok(marker) if marker.version == 1 && holds(expected, &marker.owner) => Ok(()),
            Ok(_) => Err(self.refuse("the marker of this app, instance and key", "another's")),
            Err(_) => Err(self.refuse("a marker that can be read", "a broken one")),
        }
    }

    fn mark(&self, owner: &[u8; 32]) -> Result<(), StageError> {
        let entries = fs::read_dir(&self.path).map_err(|error| self.unusable(&error))?;
        for entry in entries {
            let name = entry.map_err(|error| self.unusable(&error))?.file_name();
            let name = name.to_string_lossy();
            if !name.starts_with(UNFINISHED) && name != "lost+found" {
                return Err(self.refuse("an empty folder or one with a marker", "files without a marker"));
            }
        }
        let marker = serde_json::to_vec(&Marker {
            version: 1,
            owner: *owner,
        });
        let marker = marker.map_err(|error| self.unusable(&io::Error::other(error)))?;
        write_private(&self.marker(), &marker).map_err(|error| self.unusable(&error))
    }

    fn refuse(&self, expected: &str, actual: &str) -> StageError {
        StageError::refused(
            format!("{}: expected {expected}, got {actual}", self.path.display()),
            "nothing in the folder was changed; give the instance its own folder",
        )
    }

    fn unusable(&self, error: &dyn std::error::Error) -> StageError {
        StageError::could_not_ask(
            format!("{}: {}", self.path.display(), crate::error::chain(error)),
            "make room on the disk, or repair the folder's permissions; then start setup again",
        )
    }
}

/// A name of a small file directly inside the folder.
pub(crate) fn inside(folder: &Path, name: &str) -> PathBuf {
    folder.join(Path::new(name).file_name().unwrap_or_default())
}
