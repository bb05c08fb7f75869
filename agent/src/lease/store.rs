//! Where the lease stands, kept across restarts of the agent within one boot. A file of another boot or of another app is as
//! none; one that cannot be read or is of another shape is an error, never as none.

use super::LeasePhase;
use kms_types::{AppId, InstanceId};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// Longest file.
const MAX_BYTES: u64 = 16 * 1024;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptLease {
    /// Boot the times count from.
    pub boot_id: String,
    /// The app.
    pub app_id: AppId,
    /// The instance.
    pub instance_id: InstanceId,
    /// Where it stands.
    pub state: LeasePhase,
    /// The token, to be shown to others; absent before the first.
    pub token: Option<String>,
}

/// The file.
#[derive(Debug, Clone)]
pub struct LeaseStore(PathBuf);

impl LeaseStore {
    /// At `path`.
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// What is kept of this boot, app and instance; nothing when there is no file, or one of another boot or app.
    ///
    /// # Errors
    /// When there is a file and it does not say.
    pub fn load(&self, boot_id: &str, app: AppId, instance: InstanceId) -> io::Result<Option<KeptLease>> {
        let mut text = Vec::new();
        let file = match File::open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            let what = format!("expected at most {MAX_BYTES} bytes, got more");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let kept: KeptLease = serde_json::from_slice(&text)?;
        let ours = kept.boot_id == boot_id && kept.app_id == app && kept.instance_id == instance;
        Ok(ours.then_some(kept))
    }

    /// Keeps a state: whole or not at all.
    ///
    /// # Errors
    /// When the disk does not play along.
    pub fn save(&self, kept: &KeptLease) -> io::Result<()> {
        write_private(&self.0, &serde_json::to_vec(kept)?)
    }
}

/// Writes a file of the owner alone: whole or not at all, on disk when this returns.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let _ = std::fs::remove_file(&fresh);
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::lease::LossCause;
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    #[test]
    fn a_state_is_found_again_in_its_boot_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease.json");
        let store = LeaseStore::new(path.clone());
        let (app, instance) = (AppId::new([1; 20]), InstanceId::new([2; 20]));
        assert!(store.load("a", app, instance).unwrap().is_none());
        let kept = KeptLease {
            boot_id: "a".to_owned(),
            app_id: app,
            instance_id: instance,
            state: LeasePhase::Lost {
                cause: LossCause::Denied,
                stop_at: Duration::from_millis(1500),
            },
            token: Some("t".to_owned()),
        };
        store.save(&kept).unwrap();
        store.save(&kept).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(store.load("a", app, instance).unwrap(), Some(kept));
        assert!(store.load("b", app, instance).unwrap().is_none());
        assert!(store.load("a", AppId::new([3; 20]), instance).unwrap().is_none());
        std::fs::write(&path, vec![b' '; 20_000]).unwrap();
        store.load("a", app, instance).unwrap_err();
        std::fs::write(&path, b"{}").unwrap();
        store.load("a", app, instance).unwrap_err();
    }
}
