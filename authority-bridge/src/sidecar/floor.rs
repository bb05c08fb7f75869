//! The height floor of the service, watched: whether it can be read and raised is what readiness asks.

use super::config::SidecarConfig;
use crate::{
    ChainStore, FloorError, HeightFloor,
    store::{Database, FloorCopy, GuardedFloor, StoreError, migrations},
};
use async_trait::async_trait;
use kms_types::BlockRef;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// A floor that remembers whether it took what it was last given, and whether its database answers.
pub(crate) struct WatchedFloor {
    database: Database,
    floor: GuardedFloor,
    answers: AtomicBool,
    rises: AtomicBool,
}

impl WatchedFloor {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be reached or holds another schema.
    pub(crate) async fn open(config: &SidecarConfig) -> Result<Self, StoreError> {
        let (section, chain) = (&config.database, &config.chain);
        let timeout = Duration::from_millis(section.timeout_ms);
        let database = Database::open(&section.url, section.max_connections, timeout, migrations()).await?;
        let store = ChainStore::new(database.pool().clone(), chain.chain_id, chain.contract);
        let copy = FloorCopy::new(&section.floor_copy, chain.chain_id);
        Ok(Self {
            database,
            floor: GuardedFloor::new(store, copy),
            answers: AtomicBool::new(true),
            rises: AtomicBool::new(true),
        })
    }

    /// Both places of the floor.
    pub(crate) const fn guarded(&self) -> &GuardedFloor {
        &self.floor
    }

    /// Whether the database answers and took the last block.
    pub(crate) fn is_up(&self) -> bool {
        self.answers.load(Ordering::Relaxed) && self.rises.load(Ordering::Relaxed)
    }

    /// Asks the database, so that a failure is known before a block has to be kept.
    pub(crate) async fn look(&self) {
        let is_up = self.database.is_up().await;
        if self.answers.swap(is_up, Ordering::Relaxed) != is_up {
            tracing::warn!(is_up, "database");
        }
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) {
        self.database.close().await;
    }
}

#[async_trait]
impl HeightFloor for WatchedFloor {
    async fn load(&self) -> Result<Option<BlockRef>, FloorError> {
        self.floor.load().await
    }
    async fn raise(&self, block: BlockRef) -> Result<(), FloorError> {
        let raised = self.floor.raise(block).await;
        self.rises.store(raised.is_ok(), Ordering::Relaxed);
        raised
    }
    fn degraded(&self) -> Option<String> {
        self.floor.degraded()
    }
}
