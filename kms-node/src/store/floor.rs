//! The highest collateral number seen, which survives a restart and only rises.

use super::{Store, StoreError};
use kms_types::Fmspc;
use sqlx::{Any, Row};

/// Floors in the node's database.
#[derive(Debug, Clone)]
pub struct FloorStore {
    store: Store,
}

impl FloorStore {
    /// The floors in a database.
    pub const fn new(store: Store) -> Self {
        Self { store }
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
