//! The floor twice: in the database and in a small file apart from it. A database that is behind the file was rolled back,
//! as restoring a backup does; what was revoked since could be released again, so it is refused until a person accepts it.
//!
//! Whoever can roll back both together is not found out here.

use super::{ChainStore, StoreError, floor::failed};
use crate::{FloorError, HeightFloor};
use async_trait::async_trait;
use kms_types::{BlockRef, ChainId};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tokio::sync::watch;

const MAX_FILE: u64 = 4096;
const VERSION: u32 = 1;

/// What the places of the floor say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FloorPlaces {
    /// The floor in the database.
    pub database: Option<BlockRef>,
    /// Newest finalized header in the database.
    pub newest_header: Option<BlockRef>,
    /// The copy.
    pub copy: Option<BlockRef>,
    /// Where the copy lies.
    pub copy_file: PathBuf,
    /// What a person has just accepted.
    pub accepted: Option<BlockRef>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    chain_id: ChainId,
    number: u64,
    hash: kms_types::BlockHash,
}

/// The file.
#[derive(Debug, Clone)]
pub struct FloorCopy {
    path: PathBuf,
    chain_id: ChainId,
}

impl FloorCopy {
    /// The file at `path`; nothing is read or written yet.
    pub fn new(path: impl Into<PathBuf>, chain_id: ChainId) -> Self {
        Self {
            path: path.into(),
            chain_id,
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; `None` when there is no file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a floor of this chain.
    pub fn read(&self) -> Result<Option<BlockRef>, FloorError> {
        let mut text = String::new();
        match File::open(&self.path) {
            Ok(file) => file
                .take(MAX_FILE)
                .read_to_string(&mut text)
                .map_err(|error| self.fault(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fault(&error)),
        };
        let contents: Contents = serde_json::from_str(&text).map_err(|error| self.fault(&error))?;
        if (contents.version, contents.chain_id) != (VERSION, self.chain_id) {
            let (version, chain) = (contents.version, contents.chain_id);
            let expected = format!("expected version {VERSION} of chain {}", self.chain_id);
            return Err(self.fault(&format!("{expected}, got version {version} of chain {chain}")));
        }
        Ok(Some(BlockRef {
            number: contents.number,
            hash: contents.hash,
        }))
    }

    /// Replaces what it says; durable when it returns.
    ///
    /// # Errors
    /// When the file system refuses; the old file then stays.
    pub fn write(&self, block: BlockRef) -> Result<(), FloorError> {
        let contents = Contents {
            version: VERSION,
            chain_id: self.chain_id,
            number: block.number,
            hash: block.hash,
        };
        let text = serde_json::to_vec(&contents).map_err(|error| self.fault(&error))?;
        self.replace(&text).map_err(|error| self.fault(&error))
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        // A crash in the middle leaves this name behind; the next write takes it over.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&name)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&name, &self.path)?;
        File::open(folder)?.sync_all()
    }

    fn fault(&self, error: &dyn std::fmt::Display) -> FloorError {
        FloorError(format!("{}: {error}", self.path.display()))
    }
}

/// The floor in the database, guarded by its copy.
#[derive(Debug)]
pub struct GuardedFloor {
    store: ChainStore,
    copy: FloorCopy,
    degraded: watch::Sender<Option<String>>,
}

impl GuardedFloor {
    /// Both together.
    pub fn new(store: ChainStore, copy: FloorCopy) -> Self {
        Self {
            store,
            copy,
            degraded: watch::Sender::default(),
        }
    }

    /// The copy.
    pub const fn copy(&self) -> &FloorCopy {
        &self.copy
    }

    /// What each place says, for a person to compare; changes and judges nothing.
    ///
    /// # Errors
    /// When the database or the file fails.
    pub(super) async fn places(&self, accepted: Option<BlockRef>) -> Result<FloorPlaces, FloorError> {
        Ok(FloorPlaces {
            database: self.store.floor().await.map_err(failed)?,
            newest_header: self.store.newest_header().await.map_err(failed)?,
            copy: self.copy.read()?,
            copy_file: self.copy.path.clone(),
            accepted,
        })
    }

    /// Takes the database as it is, as a person decided who knows why it is older; the newest block it names stands. Or
    /// raises the floor to `block`, which a person compared with others, where what lies between cannot be linked.
    ///
    /// # Errors
    /// When the database or the file fails, the database names no block, or it names one that is not before `block`.
    pub async fn accept(&self, block: Option<BlockRef>) -> Result<BlockRef, FloorError> {
        let floor = self.store.floor().await.map_err(failed)?;
        let header = self.store.newest_header().await.map_err(failed)?;
        let known = [floor, header]
            .into_iter()
            .flatten()
            .max_by_key(|block| block.number);
        let newest = match (block, known) {
            (Some(block), Some(known)) if block.number <= known.number => {
                return Err(FloorError(format!("expected a block after {known}, got {block}")));
            }
            (Some(block), _) => block,
            (None, Some(known)) => known,
            (None, None) => return Err(FloorError("the database names no block to accept".to_owned())),
        };
        self.store.raise_floor(newest).await.map_err(failed)?;
        self.copy.write(newest)?;
        Ok(newest)
    }

    // C5: a height that went down between two runs means that the database is an old one; a block revoked since then must
    // not become decidable again.
    async fn checked(&self) -> Result<Option<BlockRef>, FloorError> {
        // The floor last: another node on this database may raise it meanwhile.
        let header = self.store.newest_header().await.map_err(failed)?;
        let copy = self.copy.read()?;
        let floor = self.store.floor().await.map_err(failed)?;
        for (known, of) in [(copy, "its copy"), (header, "a header it holds")] {
            let Some(known) = known else { continue };
            let holds = floor.is_some_and(|floor| match floor.number == known.number {
                true => floor.hash == known.hash,
                false => floor.number > known.number,
            });
            if !holds {
                return Err(rolled_back(floor, known, of));
            }
        }
        Ok(floor)
    }
}

fn rolled_back(floor: Option<BlockRef>, known: BlockRef, of: &str) -> FloorError {
    let actual = floor.map_or_else(|| "none".to_owned(), |floor| floor.to_string());
    FloorError(format!(
        "the database is older than block {known} ({of}), its floor is {actual}: restored from a backup? Compare what \
         `floor show` prints with providers you trust; if it is meant to be so, `floor accept`"
    ))
}

#[async_trait]
impl HeightFloor for GuardedFloor {
    async fn load(&self) -> Result<Option<BlockRef>, FloorError> {
        let floor = self.checked().await?;
        if let Some(floor) = floor {
            self.copied(floor).await;
        }
        Ok(floor)
    }

    async fn raise(&self, block: BlockRef) -> Result<(), FloorError> {
        // In this order a crash in between leaves the copy behind, which accuses nobody.
        self.store.raise_floor(block).await.map_err(failed)?;
        self.copied(block).await;
        Ok(())
    }

    fn degraded(&self) -> Option<String> {
        let fault = self.degraded.borrow();
        fault
            .as_ref()
            .map(|fault| format!("the second copy of the height floor is not written: {fault}"))
    }
}

impl GuardedFloor {
    /// The database is the floor; without its copy a roll-back goes unnoticed, which is for people to repair.
    async fn copied(&self, block: BlockRef) {
        let copy = self.copy.clone();
        let written = tokio::task::spawn_blocking(move || copy.write(block)).await;
        let fault = match written {
            Ok(written) => written.err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(fault) = &fault {
            tracing::error!(%fault, "the second copy of the height floor is not written");
        }
        self.degraded.send_if_modified(|degraded| {
            let changed = *degraded != fault;
            *degraded = fault;
            changed
        });
    }
}

impl From<StoreError> for FloorError {
    fn from(error: StoreError) -> Self {
        failed(error)
    }
}
