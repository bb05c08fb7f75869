//! What the bridge asks of its host: the time, and a place where a height survives a restart.

use async_trait::async_trait;
use kms_types::{BlockRef, UnixTime};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        UnixTime(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }
}

/// The store of the floor failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("height floor: {0}")]
pub struct FloorError(pub String);

/// The newest finalized block ever acted on, kept across restarts.
#[async_trait]
pub trait HeightFloor: Send + Sync + 'static {
    /// The block, if there ever was one.
    async fn load(&self) -> Result<Option<BlockRef>, FloorError>;
    /// Stores a newer one; returns once it is durable. Where several nodes share a store, the higher block stays.
    async fn raise(&self, block: BlockRef) -> Result<(), FloorError>;
    /// What is wrong while blocks are kept nevertheless.
    fn degraded(&self) -> Option<String> {
        None
    }
}
