//! The node's database: SQLite by file, PostgreSQL by URL, one set of migrations and statements for both.
//! Refuses any other database; never holds a secret.

mod floor;
mod generation;

pub use authority_bridge::store::{Engine, StoreError};
pub(crate) use authority_bridge::store::{bigint, stored, unsigned};
pub use floor::FloorStore;
pub use generation::{GenerationCommand, GenerationError, KnownGeneration};

use authority_bridge::store::{Database, migration, migrations};
use sqlx::AnyPool;
use std::time::Duration;

/// An open database with the schema of this program.
#[derive(Debug, Clone)]
pub struct Store(Database);

impl Store {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be reached or holds another schema.
    pub async fn open(url: &str, connections: u32, timeout: Duration) -> Result<Self, StoreError> {
        let log = include_str!("../../migrations/0001_release_log.sql");
        let generations = include_str!("../../migrations/0002_disk_generations.sql");
        let mut schema = vec![
            migration(1, "release log", log),
            migration(2, "disk generations", generations),
        ];
        schema.extend(migrations());
        Database::open(url, connections, timeout, schema).await.map(Self)
    }

    /// The connections.
    pub const fn pool(&self) -> &AnyPool {
        self.0.pool()
    }

    /// Which database it is.
    pub const fn engine(&self) -> Engine {
        self.0.engine()
    }

    /// True when a statement runs.
    pub async fn is_up(&self) -> bool {
        self.0.is_up().await
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.0.close().await;
    }
}
