//! The folder of one instance: what is known of it, its seed, the document its host hands it, its logs and its data.

use super::folders;
use crate::exit::Refused;
use anvil_tests::Description;
use anyhow::{Context, Result, bail};
use guest_files::{GuestPaths, write_private};
use kms_types::{AppId, ComposeHash, InstanceSeed};
use kms_wire::EpochIdentity;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Bytes of a name: it is part of the paths of sockets.
const MAX_NAME: usize = 32;
const MAX_RECORD: usize = 64 * 1024;

/// What is known of an instance, whether it runs or not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Its name.
    pub(super) name: String,
    /// Seed of its instance id; kept as long as its data.
    pub(super) seed: InstanceSeed,
    /// Its app, once it is on-chain.
    pub(super) app_id: Option<AppId>,
    /// What was about to be put on-chain for it, while that is not known to have happened.
    #[serde(default)]
    pub(super) intent: Option<Intent>,
    /// Version of the environment that was signed last.
    pub(super) env_version: u64,
    /// Image archives it brings along, inside its folder.
    pub(super) images: Vec<String>,
    /// Images its compose file names.
    pub(super) references: Vec<String>,
}

/// An app that was about to be made: enough to find it, should nobody have been there to hear of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Intent {
    /// The document it was to allow.
    pub(super) compose_hash: ComposeHash,
    /// The chain's height before.
    pub(super) from_block: u64,
}

impl Record {
    /// A new instance.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(name: &str) -> Result<Self> {
        let mut seed = [0; 20];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
            .ok()
            .filter(|got| *got == seed.len())
            .context("random bytes for the instance's seed")?;
        Ok(Self {
            name: name.to_owned(),
            seed: InstanceSeed::new(seed),
            app_id: None,
            intent: None,
            env_version: 0,
            images: Vec::new(),
            references: Vec::new(),
        })
    }
}

/// An instance's folder.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    folder: PathBuf,
}

/// The name of an instance: as asked, else the compose file's own, else that of its folder.
///
/// # Errors
/// When it has other characters than `a-z`, `0-9` and `-`, or is too long.
pub(super) fn name(asked: Option<&str>, written: Option<String>, file: &Path) -> Result<String> {
    let folder = || {
        let file = fs::canonicalize(file).ok()?;
        Some(file.parent()?.file_name()?.to_str()?.to_ascii_lowercase())
    };
    let name = asked.map(str::to_owned).or(written).or_else(folder);
    let name = name.unwrap_or_default();
    let fits = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits || name.is_empty() || name.len() > MAX_NAME || name.starts_with('-') {
        bail!(
            "name of the instance: expected 1 to {MAX_NAME} of a-z, 0-9 and -, got {name:?}: give one with --name"
        );
    }
    Ok(name)
}

/// An instance of a network's folder, and what is known of it, or why nothing is.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) instance: Instance,
    pub(super) record: Result<Record>,
}

/// Every instance of a network's folder, by name. One that is broken does not hide the others.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn all(state: &Path) -> Result<Vec<Listed>> {
    let entries = match fs::read_dir(std::path::absolute(state)?.join("instances")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("instances"),
    };
    let mut found = Vec::new();
    for entry in entries {
        let instance = Instance {
            folder: entry?.path(),
        };
        if !instance.folder.is_dir() {
            continue;
        }
        let name = instance.name();
        let record = match instance.record() {
            Ok(Some(record)) => Ok(record),
            // A deploy that was cut short before it had anything to lose.
            Ok(None) if !instance.paths().data().exists() => continue,
            Ok(None) => Err(broken(&name, "it is missing")),
            Err(error) => Err(error),
        };
        found.push(Listed {
            name,
            instance,
            record,
        });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn broken(name: &str, reason: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!(
        "instance.json: {reason}. It holds the app's id, the seed its data belongs to and the version of its environment: \
         put it back from a copy, or remove the instance with its data: `kedge rm {name} --yes`"
    )
}

impl Instance {
    /// The instance of a name, which need not exist.
    ///
    /// # Errors
    /// When the name is none.
    pub(super) fn new(state: &Path, asked: &str) -> Result<Self> {
        let state = std::path::absolute(state)?;
        Ok(Self {
            folder: state
                .join("instances")
                .join(name(Some(asked), None, Path::new("."))?),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn paths(&self) -> GuestPaths {
        GuestPaths::new(self.folder.join("run"), self.folder.join("data"))
    }

    pub(super) fn host_document(&self) -> PathBuf {
        self.folder.join("host.json")
    }

    pub(super) fn td_socket(&self) -> PathBuf {
        self.folder.join("td.sock")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// What is known of it; nothing when it does not exist.
    ///
    /// # Errors
    /// When the file is there and is not one.
    pub(super) fn record(&self) -> Result<Option<Record>> {
        let path = self.folder.join("instance.json");
        match guest_files::read_bounded(&path, MAX_RECORD) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| broken(&self.name(), error))
                .map(Some),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(broken(&self.name(), error)),
        }
    }

    /// Its name, as its folder has it.
    pub(super) fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Keeps what is known of it.
    ///
    /// # Errors
    /// When the disk does not play along; the older record stays.
    pub(super) fn save(&self, record: &Record) -> Result<()> {
        self.make()?;
        let text = serde_json::to_vec_pretty(record)?;
        Ok(write_private(&self.folder.join("instance.json"), &text)?)
    }

    /// Makes its folders, readable by their owner alone.
    ///
    /// # Errors
    /// When they cannot be made.
    pub(super) fn make(&self) -> Result<()> {
        for folder in [
            self.folder.clone(),
            self.folder.join("logs"),
            self.folder.join("images"),
        ] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("create {}", folder.display()))?;
        }
        Ok(())
    }

    /// Leaves the document its host hands it at the next boot.
    ///
    /// # Errors
    /// When it cannot be written; the older one stays.
    pub(super) fn write_document(&self, document: &Value) -> Result<()> {
        let text = Zeroizing::new(serde_json::to_vec(document)?);
        Ok(write_private(&self.host_document(), &text)?)
    }

    /// Its lock, or nothing while its supervisor has it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn lock(&self) -> Result<Option<File>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.folder.join("lock"))
            .with_context(|| format!("lock of {}", self.folder.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("lock"),
        }
    }

    /// Takes its folder away.
    ///
    /// # Errors
    /// When it still runs, or the folder does not let go.
    pub(super) fn remove(&self) -> Result<()> {
        let Some(_lock) = self.lock()? else {
            return Err(Refused("it still runs: `kedge stop` first".to_owned()).into());
        };
        folders::remove(&self.folder)
    }
}

/// The document the host hands the instance (docs/protocol.md §13).
///
/// # Errors
/// When the network's catalogue cannot be read.
pub(super) fn document(
    network: &Description,
    record: &Record,
    app_compose: &str,
    encrypted_env: Option<Vec<u8>>,
    identity: &EpochIdentity,
    state: &Path,
) -> Result<Value> {
    let catalogue = fs::read(state.join("catalogue.json")).context("catalogue of the network's OS image")?;
    let kms = network.kms.as_ref().context("the network has no KMS node")?;
    Ok(json!({
        "version": 1,
        "app_compose": app_compose,
        "app_id": record.app_id,
        "instance_seed": record.seed,
        "encrypted_env": encrypted_env.map(|data| json!({ "version": 2, "data": hex::encode(data) })),
        "kms_urls": [kms.url],
        "kms_identity": identity,
        "chain": { "chain_id": network.chain_id, "contract": network.kms_authority },
        "vm_config": json!({ "platform": "sim-process" }).to_string(),
        "catalogue": serde_json::from_slice::<Value>(&catalogue)?,
    }))
}
