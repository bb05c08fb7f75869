//! The newest finalized block acted on, in the database. It only rises.

use super::{ChainStore, StoreError, bigint, stored, unsigned};
use crate::{FloorError, HeightFloor};
use async_trait::async_trait;
use kms_types::{BlockHash, BlockRef};
use sqlx::{Any, Row, any::AnyRow};

/// Number and hash of a row.
pub(super) fn block(row: &AnyRow) -> Result<BlockRef, StoreError> {
    let hash = BlockHash::new(stored("a block hash", &row.try_get::<String, _>("hash")?)?);
    Ok(BlockRef {
        number: unsigned(row.try_get("number")?)?,
        hash,
    })
}

impl ChainStore {
    /// The floor, if there ever was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn floor(&self) -> Result<Option<BlockRef>, StoreError> {
        let row = sqlx::query::<Any>("SELECT number, hash FROM chain_floor WHERE chain_id = $1")
            .bind(bigint(self.chain_id.0)?)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(block).transpose()
    }

    /// Raises the floor; a lower one leaves it as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn raise_floor(&self, block: BlockRef) -> Result<(), StoreError> {
        // C5: the condition stands in the statement, so that of two nodes on one database the lower cannot win.
        sqlx::query::<Any>(
            "INSERT INTO chain_floor (chain_id, number, hash) VALUES ($1, $2, $3) \
             ON CONFLICT (chain_id) DO UPDATE SET number = excluded.number, hash = excluded.hash \
             WHERE excluded.number > chain_floor.number",
        )
        .bind(bigint(self.chain_id.0)?)
        .bind(bigint(block.number)?)
        .bind(block.hash.to_plain_hex())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Newest finalized header that was stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_header(&self) -> Result<Option<BlockRef>, StoreError> {
        let row = sqlx::query::<Any>(
            "SELECT number, hash FROM chain_header WHERE chain_id = $1 ORDER BY number DESC LIMIT 1",
        )
        .bind(bigint(self.chain_id.0)?)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(block).transpose()
    }
}

/// The error and its causes on one line.
pub(crate) fn explained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

pub(super) fn failed(error: StoreError) -> FloorError {
    FloorError(explained(&error))
}

#[async_trait]
impl HeightFloor for ChainStore {
    async fn load(&self) -> Result<Option<BlockRef>, FloorError> {
        self.floor().await.map_err(failed)
    }
    async fn raise(&self, block: BlockRef) -> Result<(), FloorError> {
        self.raise_floor(block).await.map_err(failed)
    }
}
