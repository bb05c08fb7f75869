//! What outlives a restart: the height floor, the headers that were followed, the events they hold, decisions. SQLite or PostgreSQL,
//! one schema and one set of statements for both. Nothing in it is trusted more than the disk it lies on: it can make a
//! node refuse to start, and it never makes one allow anything.

mod columns;
mod command;
mod copy;
mod database;
mod decisions;
mod floor;
mod history;

pub use columns::{bigint, stored, unsigned};
pub use command::FloorCommand;
pub use copy::{FloorCopy, FloorPlaces, GuardedFloor};
pub use database::{Database, Engine, migration};
pub(crate) use decisions::app_of;
pub use decisions::{MAX_DECISIONS, Recorded, Retention, Standing, StoredDecision};
pub(crate) use floor::explained;
pub use history::{EventField, EventPage, HistoryRange, MAX_PAGE, StoredEvent};
pub(crate) use history::{Piece, Progress};

use kms_types::{ChainAddress, ChainId};
use sqlx::{AnyPool, migrate::Migration};

/// Why the database does not serve.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Neither SQLite nor PostgreSQL.
    #[error("database.url: expected sqlite:PATH or postgres://…, got another scheme")]
    Scheme,
    /// The database said no: unreachable, full, corrupt.
    #[error("database")]
    Sql(#[from] sqlx::Error),
    /// The schema is not the one this program knows.
    #[error("database schema")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A stored value is not what was written.
    #[error("database: expected {expected}, got {actual}")]
    Corrupt {
        /// What this program writes.
        expected: &'static str,
        /// What is there.
        actual: String,
    },
}

/// The schema of this crate, for the migrator of the program that opens the database.
pub fn migrations() -> Vec<Migration> {
    vec![
        migration(101, "chain", include_str!("../../migrations/0101_chain.sql")),
        migration(
            102,
            "decisions",
            include_str!("../../migrations/0102_decisions.sql"),
        ),
    ]
}

/// What is stored of one contract on one chain.
#[derive(Debug, Clone)]
pub struct ChainStore {
    pool: AnyPool,
    chain_id: ChainId,
    contract: ChainAddress,
}

impl ChainStore {
    /// The rows of one contract on one chain, in a database that has the schema of [`migrations`].
    pub const fn new(pool: AnyPool, chain_id: ChainId, contract: ChainAddress) -> Self {
        Self {
            pool,
            chain_id,
            contract,
        }
    }

    /// The connections.
    pub const fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Whose rows these are.
    pub const fn contract(&self) -> ChainAddress {
        self.contract
    }
}
