//! Reads the log: pages of entries, the newest tree head, inclusion and consistency proofs. Proofs read O(log² n) nodes;
//! the leaves are never held together. Refuses indices and sizes outside the tree.

use super::{
    LogError,
    tree::{self, Frontier, Hash, NodeId, Range},
};
use crate::store::{Store, StoreError, bigint, stored, unsigned};
use kms_wire::{
    AppId, Blob, ConsistencyProof, DiskGeneration, InclusionProof, IndexedEntry, LogEntries, LogEntry,
    SignedTreeHead, UnixTime,
};
use sqlx::{Any, AnyConnection, AnyPool, Row, any::AnyRow};
use std::collections::BTreeMap;

/// Entries of one page.
pub(super) const MAX_PAGE: u32 = 256;

/// Reads what the writer wrote.
#[derive(Debug, Clone)]
pub struct LogReader {
    pool: AnyPool,
}

impl LogReader {
    /// Reads from this database.
    pub fn new(store: &Store) -> Self {
        Self {
            pool: store.pool().clone(),
        }
    }

    /// The newest signed tree head; `None` while the log is empty.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn head(&self) -> Result<Option<SignedTreeHead>, LogError> {
        let row = sqlx::query::<Any>("SELECT size, root, signed_at, signature FROM log_head WHERE id = 1")
            .fetch_one(&self.pool)
            .await?;
        Ok(read_head(&row)?)
    }

    /// Entries from `start`, at most `count` and 256, of one app or of all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn entries(&self, start: u64, count: u32, app: Option<AppId>) -> Result<LogEntries, LogError> {
        let count = count.clamp(1, MAX_PAGE);
        let start = i64::try_from(start).unwrap_or(i64::MAX);
        let rows =
            match app {
                Some(app) => {
                    sqlx::query::<Any>(
                        "SELECT position, leaf FROM log_entries WHERE app_id = $1 AND position >= $2 \
                     ORDER BY position LIMIT $3",
                    )
                    .bind(app.to_plain_hex())
                    .bind(start)
                    .bind(i64::from(count) + 1)
                    .fetch_all(&self.pool)
                    .await?
                }
                None => sqlx::query::<Any>(
                    "SELECT position, leaf FROM log_entries WHERE position >= $1 ORDER BY position LIMIT $2",
                )
                .bind(start)
                .bind(i64::from(count) + 1)
                .fetch_all(&self.pool)
                .await?,
            };
        let mut entries = rows.iter().map(read_entry).collect::<Result<Vec<_>, _>>()?;
        let next = (entries.len() > count as usize)
            .then(|| entries.pop())
            .flatten()
            .map(|entry| entry.index);
        Ok(LogEntries { entries, next })
    }

    /// Proof that leaf `index` is in the tree of `size` leaves; `None` when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn inclusion(&self, index: u64, size: u64) -> Result<Option<InclusionProof>, LogError> {
        let Some(ranges) = self
            .within(size)
            .await?
            .then(|| tree::inclusion_ranges(index, size))
            .flatten()
        else {
            return Ok(None);
        };
        Ok(Some(InclusionProof {
            index,
            tree_size: size,
            path: self.path(&ranges).await?,
        }))
    }

    /// Proof that the tree of `first` leaves is a prefix of that of `second`; `None` when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consistency(&self, first: u64, second: u64) -> Result<Option<ConsistencyProof>, LogError> {
        let inside = self.within(second).await?;
        let Some(ranges) = inside.then(|| tree::consistency_ranges(first, second)).flatten() else {
            return Ok(None);
        };
        Ok(Some(ConsistencyProof {
            first,
            second,
            path: self.path(&ranges).await?,
        }))
    }

    async fn within(&self, size: u64) -> Result<bool, LogError> {
        Ok(self.head().await?.is_some_and(|head| size <= head.size))
    }

    async fn path(&self, ranges: &[Range]) -> Result<Vec<Blob<32>>, LogError> {
        let mut connection = self.pool.acquire().await?;
        let mut nodes = BTreeMap::new();
        for (start, end) in ranges {
            for id in tree::cover(*start, *end) {
                nodes.insert(id, read_node(&mut connection, id).await?);
            }
        }
        let hashes = ranges.iter().filter_map(|range| tree::range_hash(*range, &nodes));
        Ok(hashes.filter_map(|hash| Blob::new(hash.to_vec()).ok()).collect())
    }
}

/// The right edge of the tree of `size` leaves, from the stored nodes.
pub(super) async fn read_frontier(connection: &mut AnyConnection, size: u64) -> Result<Frontier, StoreError> {
    let mut peaks = Vec::new();
    for id in Frontier::peak_ids(size) {
        peaks.push(read_node(connection, id).await?);
    }
    Frontier::restore(size, &peaks).ok_or_else(|| StoreError::Corrupt {
        expected: "one hash per peak",
        actual: peaks.len().to_string(),
    })
}

async fn read_node(connection: &mut AnyConnection, id: NodeId) -> Result<Hash, StoreError> {
    let position = bigint(id.position)?;
    if id.level == 0 {
        let row = sqlx::query::<Any>("SELECT leaf FROM log_entries WHERE position = $1")
            .bind(position)
            .fetch_one(connection)
            .await?;
        return Ok(tree::leaf_hash(&stored_leaf(&row.try_get::<String, _>(0)?)?));
    }
    let row = sqlx::query::<Any>("SELECT hash FROM log_nodes WHERE level = $1 AND position = $2")
        .bind(i64::from(id.level))
        .bind(position)
        .fetch_one(connection)
        .await?;
    stored("a node hash", &row.try_get::<String, _>(0)?)
}

/// Reads `size, root, signed_at, signature`.
pub(super) fn read_head(row: &AnyRow) -> Result<Option<SignedTreeHead>, StoreError> {
    let size = unsigned(row.try_get("size")?)?;
    if size == 0 {
        return Ok(None);
    }
    let root = stored::<32>("a tree hash", &row.try_get::<String, _>("root")?)?;
    let signature = stored::<64>("a signature", &row.try_get::<String, _>("signature")?)?;
    let blob = |_| StoreError::Corrupt {
        expected: "a tree head",
        actual: "another length".to_owned(),
    };
    Ok(Some(SignedTreeHead {
        size,
        root: Blob::new(root.to_vec()).map_err(blob)?,
        time: UnixTime(unsigned(row.try_get("signed_at")?)?),
        signature: Blob::new(signature.to_vec()).map_err(blob)?,
    }))
}

/// A leaf with a disk generation or without.
fn stored_leaf(text: &str) -> Result<Vec<u8>, StoreError> {
    if text.len() == 2 * LogEntry::LEAF_LEN {
        return Ok(stored::<{ LogEntry::LEAF_LEN }>("a leaf", text)?.to_vec());
    }
    Ok(stored::<{ LogEntry::LEAF_LEN + DiskGeneration::LEN }>("a leaf", text)?.to_vec())
}

fn read_entry(row: &AnyRow) -> Result<IndexedEntry, StoreError> {
    let text: String = row.try_get("leaf")?;
    let leaf = stored_leaf(&text)?;
    let entry = LogEntry::from_leaf_bytes(&leaf).ok_or(StoreError::Corrupt {
        expected: "a leaf",
        actual: text,
    })?;
    Ok(IndexedEntry {
        index: unsigned(row.try_get("position")?)?,
        entry,
    })
}
