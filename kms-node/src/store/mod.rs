//! The node's database: SQLite by file, PostgreSQL by URL, one set of migrations and statements for both.
//! Refuses any other database; never holds a secret.

mod floor;

pub use floor::FloorStore;

use sqlx::{
    AnyPool, Executor,
    any::AnyPoolOptions,
    migrate::{Migration, MigrationType, Migrator},
};
use std::time::Duration;

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

/// Which of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One file, one node.
    Sqlite,
    /// Any number of nodes.
    Postgres,
}

impl Engine {
    /// Reads the scheme of a database URL.
    pub fn of_url(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }
}

/// An open database with the schema of this program.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    engine: Engine,
}

impl Store {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be reached or holds another schema.
    pub async fn open(url: &str, connections: u32, timeout: Duration) -> Result<Self, StoreError> {
        let engine = Engine::of_url(url).ok_or(StoreError::Scheme)?;
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(timeout)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if engine == Engine::Sqlite {
                        // K7: FULL, because a release that left must be in the log after a power cut.
                        let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                                       PRAGMA busy_timeout = 5000; PRAGMA cache_size = -2048;";
                        connection.execute(pragmas).await?;
                    }
                    Ok(())
                })
            })
            .connect(url)
            .await?;
        migrator().run(&pool).await?;
        Ok(Self { pool, engine })
    }

    /// The connections.
    pub const fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Which database it is.
    pub const fn engine(&self) -> Engine {
        self.engine
    }

    /// True when a statement runs.
    pub async fn is_up(&self) -> bool {
        self.pool.execute("SELECT 1").await.is_ok()
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn migrator() -> Migrator {
    let text = include_str!("../../migrations/0001_release_log.sql");
    Migrator::with_migrations(vec![Migration::new(
        1,
        "release log".into(),
        MigrationType::Simple,
        sqlx::SqlSafeStr::into_sql_str(text),
        false,
    )])
}

/// Reads a stored hex value of exactly `N` bytes.
pub(crate) fn stored<const N: usize>(expected: &'static str, text: &str) -> Result<[u8; N], StoreError> {
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).map_err(|_| StoreError::Corrupt {
        expected,
        actual: text.chars().take(80).collect(),
    })?;
    Ok(out)
}

/// Writes a number for a BIGINT column.
pub(crate) fn bigint(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Corrupt {
        expected: "a number below 2^63",
        actual: number.to_string(),
    })
}

/// Reads a number from a BIGINT column.
pub(crate) fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt {
        expected: "a number from 0",
        actual: number.to_string(),
    })
}
