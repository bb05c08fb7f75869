//! The encrypted disk as a backend of the storage stage, for guests in a VM.

use crate::{StageError, StorageRequest};
use guest_disk::{DataDisk, DiskError, Known, May, Opening, by_serial, marker::MarkerKey};
use guest_files::{Storage, StorageKind};
use std::path::Path;

/// Where an instance's data is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageBackend {
    /// In a plain folder, not encrypted: the platform without a VM.
    Directory,
    /// On the disk with this serial, encrypted and authenticated.
    Luks2 {
        /// Its serial.
        serial: String,
    },
}

const REFUSED: &str =
    "nothing on the disk was changed; give the instance its own disk, or an empty one to begin anew";
const SET_BACK: &str = "nothing on the disk was changed; attach the instance's newest disk. If the app's owner puts a backup back, the KMS's operator lowers the number: `kms-node generation set --app … --instance … --to N`";
const SHRUNK: &str = "nothing on the disk was changed; give it the size it had";
const UNUSABLE: &str = "attach the instance's disk (at least 128 MiB) and start the VM again";

/// Opens the disk and mounts it at `target`; `memory` is a folder of this boot.
pub(crate) fn open(
    serial: &str,
    target: &Path,
    memory: &Path,
    request: &StorageRequest<'_>,
) -> Result<Storage, StageError> {
    let disk = DataDisk {
        device: by_serial(serial).map_err(failed)?,
        target: target.to_owned(),
        memory: memory.to_owned(),
    };
    let markers = MarkerKey::new(request.key, &request.app_id, &request.instance_id);
    let opening = Opening {
        may: May::Either,
        known: request.known,
    };
    let opened = disk.open(&markers, request.key, opening).map_err(failed)?;
    if opened.unused > 0 {
        eprintln!(
            "kedge: {} bytes of the data disk stay unused: its file system could not be grown and is as it was",
            opened.unused
        );
    }
    Ok(Storage {
        kind: StorageKind::Luks2,
        encrypted: true,
        path: target.to_owned(),
        generation: Some(opened.generation),
        counted: (request.known != Known::NotAsked).then(|| serial.to_owned()),
    })
}

fn failed(error: DiskError) -> StageError {
    let message = crate::error::chain(&error);
    if matches!(error, DiskError::SetBack { .. }) {
        return StageError::refused(message, SET_BACK);
    }
    if matches!(error, DiskError::Shrunk { .. }) {
        return StageError::refused(message, SHRUNK);
    }
    if error.is_refusal() {
        return StageError::refused(message, REFUSED);
    }
    StageError::could_not_ask(message, UNUSABLE)
}
