//! The storage stage, and the two small records that tell a disk of this instance from any other.
//!
//! Both are authenticated under a key derived from the disk key. On a backend that encrypts they say what the disk's own header
//! says; on a plain folder they are all there is.

use crate::{BootKeys, Effects, HostDocument, StageError, StorageRequest, measure, requirements};
use guest_disk::Known;
use guest_files::{BootMode, Storage, StorageKind};
use hkdf::Hkdf;
use kms_types::{AppId, InstanceId};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Opens the instance's disk, and records with which file system.
pub(crate) fn storage(
    document: &HostDocument,
    keys: &BootKeys,
    effects: &mut dyn Effects,
) -> Result<Storage, StageError> {
    let instance_id = measure::instance_id(document).unwrap_or(InstanceId::ZERO);
    let storage = effects.open_storage(&StorageRequest {
        app_id: document.app_id,
        instance_id,
        key: &keys.disk,
        ephemeral: crate::keys::mode(document) == BootMode::None,
        known: match (requirements::detects_rollback(document), keys.known_generation) {
            (false, _) => Known::NotAsked,
            // The first disk of an instance is taken as it is.
            (true, None) => Known::Nothing,
            (true, Some(generation)) => Known::Generation(generation),
        },
    })?;
    let name: &[u8] = match storage.kind {
        StorageKind::Directory => b"directory",
        StorageKind::Luks2 => b"ext4",
    };
    measure::record_once(effects, "storage-fs", name)?;
    Ok(storage)
}

/// 32 bytes that only who has the disk key can make over these parts.
pub(crate) fn tag(key: &[u8; 64], label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let mut info = Vec::new();
    for part in [label.as_bytes()].iter().chain(parts) {
        info.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        info.extend_from_slice(part);
    }
    // 32 bytes are within what HKDF-SHA256 gives.
    let _ = Hkdf::<Sha256>::new(Some(b"kedge/storage/v1"), key).expand(&info, out.as_mut_slice());
    out
}

/// The tag of an instance's disk.
pub(crate) fn owner_tag(key: &[u8; 64], app_id: &AppId, instance_id: &InstanceId) -> Zeroizing<[u8; 32]> {
    tag(key, "owner", &[app_id.as_ref(), instance_id.as_ref()])
}

/// Compares a stored tag in constant time.
pub(crate) fn holds(expected: &[u8; 32], actual: &[u8]) -> bool {
    expected.as_slice().ct_eq(actual).into()
}
