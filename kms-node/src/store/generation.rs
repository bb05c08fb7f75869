//! What this node knows of an instance's disk, for its operator: shown, and lowered when the app's owner puts a backup back.
//! Refuses to raise a number, which would lock the instance out, and to make one up.

use super::{Store, StoreError, bigint, unsigned};
use clap::{Args, Subcommand};
use kms_types::{AppId, DiskMark, InstanceId};
use serde::Serialize;
use sqlx::{Any, Row};

/// `generation …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum GenerationCommand {
    /// Print the highest generation an instance's disk was reported with.
    Show(Which),
    /// Lower it, so that the instance opens an older disk: a backup its owner puts back.
    Set {
        /// Whose.
        #[command(flatten)]
        which: Which,
        /// Generation of the backup, as the refused boot names it; 0 for an empty disk.
        #[arg(long, value_name = "NUMBER")]
        to: u64,
    },
}

/// An instance.
#[derive(Debug, Clone, Copy, Args)]
pub struct Which {
    /// Its app.
    #[arg(long, value_name = "HEX")]
    app: AppId,
    /// Its id.
    #[arg(long, value_name = "HEX")]
    instance: InstanceId,
}

/// What is known of an instance's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KnownGeneration {
    /// Its app.
    pub app_id: AppId,
    /// The instance.
    pub instance_id: InstanceId,
    /// Highest generation that was reported; none when none was.
    pub generation: Option<u64>,
}

/// Why a number stays what it is.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The database fails.
    #[error("database")]
    Store(#[from] StoreError),
    /// It would not be lower.
    #[error(
        "generation: expected one below {known}, got {asked}; a higher one would lock the instance out of its own disk"
    )]
    NotLower {
        /// What is known.
        known: u64,
        /// What was asked for.
        asked: u64,
    },
    /// No disk of this instance was ever reported.
    #[error(
        "generation: expected an instance that reported one, got one that did not; any disk of it is opened"
    )]
    Unknown,
}

impl GenerationCommand {
    /// Does it; then tells what is known.
    ///
    /// # Errors
    /// When the database fails, or the number is not lower than the known one.
    pub async fn run(self, store: &Store) -> Result<KnownGeneration, GenerationError> {
        let which = match self {
            Self::Show(which) => which,
            Self::Set { which, to } => {
                lower(store, &which, to).await?;
                which
            }
        };
        Ok(KnownGeneration {
            app_id: which.app,
            instance_id: which.instance,
            generation: known(store, &which).await?,
        })
    }
}

async fn known(store: &Store, which: &Which) -> Result<Option<u64>, StoreError> {
    let row =
        sqlx::query::<Any>("SELECT generation FROM disk_generations WHERE app_id = $1 AND instance_id = $2")
            .bind(which.app.to_plain_hex())
            .bind(which.instance.to_plain_hex())
            .fetch_optional(store.pool())
            .await?;
    let Some(row) = row else { return Ok(None) };
    unsigned(row.try_get("generation")?).map(Some)
}

async fn lower(store: &Store, which: &Which, to: u64) -> Result<(), GenerationError> {
    let Some(known) = known(store, which).await? else {
        return Err(GenerationError::Unknown);
    };
    let not_lower = GenerationError::NotLower { known, asked: to };
    let Ok(to) = bigint(to) else { return Err(not_lower) };
    let done = sqlx::query::<Any>(
        "UPDATE disk_generations SET generation = $1, mark = $2 WHERE app_id = $3 AND instance_id = $4 AND generation > $1",
    )
    .bind(to)
    // Which copy of the backup it is to be is the owner's to say by what he attaches.
    .bind(DiskMark::ZERO.to_plain_hex())
    .bind(which.app.to_plain_hex())
    .bind(which.instance.to_plain_hex())
    .execute(store.pool())
    .await
    .map_err(StoreError::from)?;
    match done.rows_affected() {
        0 => Err(not_lower),
        _ => Ok(()),
    }
}
