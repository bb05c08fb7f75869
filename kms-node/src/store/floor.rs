//! Floors that survive a restart: the newest finalized block acted on, and the highest collateral number seen. A floor
//! only rises.

use super::{Store, StoreError, bigint, stored, unsigned};
use async_trait::async_trait;
use authority_bridge::{FloorError, HeightFloor};
use kms_types::{BlockHash, BlockRef, ChainId, Fmspc};
use sqlx::{Any, Row};

/// Floors in the node's database.
#[derive(Debug, Clone)]
pub struct FloorStore {
    store: Store,
    chain_id: ChainId,
}

impl FloorStore {
    /// The floors of one chain.
    pub const fn new(store: Store, chain_id: ChainId) -> Self {
        Self { store, chain_id }
    }

    async fn load_height(&self) -> Result<Option<BlockRef>, StoreError> {
        let row = sqlx::query::<Any>("SELECT number, hash FROM chain_floor WHERE chain_id = $1")
            .bind(bigint(self.chain_id.0)?)
            .fetch_optional(self.store.pool())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let hash = BlockHash::new(stored("a block hash", &row.try_get::<String, _>("hash")?)?);
        Ok(Some(BlockRef {
            number: unsigned(row.try_get("number")?)?,
            hash,
        }))
    }

    async fn raise_height(&self, block: BlockRef) -> Result<(), StoreError> {
        // C5: the condition stands in the statement, so that of two nodes on one database the lower cannot win.
        sqlx::query::<Any>(
            "INSERT INTO chain_floor (chain_id, number, hash) VALUES ($1, $2, $3) \
             ON CONFLICT (chain_id) DO UPDATE SET number = excluded.number, hash = excluded.hash \
             WHERE excluded.number > chain_floor.number",
        )
        .bind(bigint(self.chain_id.0)?)
        .bind(bigint(block.number)?)
        .bind(block.hash.to_plain_hex())
        .execute(self.store.pool())
        .await?;
        Ok(())
    }

    /// Highest TCB evaluation data number confirmed for a platform family; 0 when there was none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn collateral(&self, fmspc: &Fmspc) -> Result<u32, StoreError> {
        let row = sqlx::query::<Any>("SELECT number FROM collateral_floor WHERE fmspc = $1")
            .bind(fmspc.to_plain_hex())
            .fetch_optional(self.store.pool())
            .await?;
        let Some(row) = row else { return Ok(0) };
        let number: i64 = row.try_get("number")?;
        u32::try_from(number).map_err(|_| StoreError::Corrupt {
            expected: "a u32",
            actual: number.to_string(),
        })
    }

    /// Raises it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn raise_collateral(&self, fmspc: &Fmspc, number: u32) -> Result<(), StoreError> {
        sqlx::query::<Any>(
            "INSERT INTO collateral_floor (fmspc, number) VALUES ($1, $2) \
             ON CONFLICT (fmspc) DO UPDATE SET number = excluded.number \
             WHERE excluded.number > collateral_floor.number",
        )
        .bind(fmspc.to_plain_hex())
        .bind(i64::from(number))
        .execute(self.store.pool())
        .await?;
        Ok(())
    }
}

#[async_trait]
impl HeightFloor for FloorStore {
    async fn load(&self) -> Result<Option<BlockRef>, FloorError> {
        self.load_height()
            .await
            .map_err(|error| FloorError(error.to_string()))
    }
    async fn raise(&self, block: BlockRef) -> Result<(), FloorError> {
        self.raise_height(block)
            .await
            .map_err(|error| FloorError(error.to_string()))
    }
}
