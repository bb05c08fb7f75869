//! Opens SQLite by file or PostgreSQL by URL and brings the schema up to date. Refuses any other database, and a schema
//! it does not know.

use super::StoreError;
use sqlx::{
    AnyPool, Executor,
    any::AnyPoolOptions,
    migrate::{Migration, MigrationType, Migrator},
};
use std::time::Duration;

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

/// An open database with the schema of the program.
#[derive(Debug, Clone)]
pub struct Database {
    pool: AnyPool,
    engine: Engine,
}

impl Database {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be reached or holds another schema.
    pub async fn open(
        url: &str,
        connections: u32,
        timeout: Duration,
        schema: Vec<Migration>,
    ) -> Result<Self, StoreError> {
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
        Migrator::with_migrations(schema).run(&pool).await?;
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

/// One piece of a schema.
pub fn migration(version: i64, description: &'static str, sql: &'static str) -> Migration {
    Migration::new(
        version,
        description.into(),
        MigrationType::Simple,
        sqlx::SqlSafeStr::into_sql_str(sql),
        false,
    )
}
