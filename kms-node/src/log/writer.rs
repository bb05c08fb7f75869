//! Writes the log. Whatever waits becomes one transaction and one signed tree head (group commit), so the cost of reaching
//! the disk is shared. Several nodes on one PostgreSQL take turns on the row of the head.
//!
//! Refuses to append to a log whose head does not match its nodes, is not signed with the network's log key, or is missing
//! although there are entries.

use super::{
    LogError, generations,
    reader::{read_frontier, read_head},
    tree::{Frontier, Hash, NodeId, leaf_hash},
};
use crate::store::{Store, StoreError, bigint};
use kms_wire::{Blob, LogEntry, LogPosition, SignedTreeHead, UnixTime};
use sqlx::{Any, AnyConnection, AssertSqlSafe};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Releases of one transaction.
const MAX_BATCH: usize = 256;
/// Releases that may wait.
const MAX_WAITING: usize = 4096;

/// Signs tree heads and tells the time.
pub trait TreeSigner: Send + Sync + 'static {
    /// Ed25519 over the bytes of a tree head.
    fn sign(&self, bytes: &[u8]) -> [u8; 64];
    /// True when an epoch of this network signed these bytes.
    fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool;
    /// Time of the head.
    fn now(&self) -> UnixTime;
}

struct Waiting {
    entry: LogEntry,
    answer: oneshot::Sender<Result<LogPosition, LogError>>,
}

/// Handle to the writer.
#[derive(Debug, Clone)]
pub struct ReleaseLog {
    queue: mpsc::Sender<Waiting>,
}

impl ReleaseLog {
    /// Checks the stored log and starts the writer. The task ends when the last handle is gone.
    ///
    /// # Errors
    /// When the log cannot be read or does not match its head.
    pub async fn start(
        store: Store,
        signer: Arc<dyn TreeSigner>,
    ) -> Result<(Self, tokio::task::JoinHandle<()>), LogError> {
        let mut writer = Writer {
            store,
            signer,
            tree: None,
        };
        writer.check().await?;
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        Ok((Self { queue }, tokio::spawn(writer.run(waiting))))
    }

    /// Appends a release; returns once it is on disk under a signed head.
    ///
    /// # Errors
    /// When it is not.
    pub async fn append(&self, entry: LogEntry) -> Result<LogPosition, LogError> {
        let (answer, committed) = oneshot::channel();
        self.queue
            .try_send(Waiting { entry, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => LogError::Full { limit: MAX_WAITING },
                mpsc::error::TrySendError::Closed(_) => LogError::Stopped,
            })?;
        committed.await.map_err(|_| LogError::Stopped)?
    }
}

struct Writer {
    store: Store,
    signer: Arc<dyn TreeSigner>,
    /// Right edge after the last transaction that is known to be committed.
    tree: Option<Frontier>,
}

impl Writer {
    async fn check(&mut self) -> Result<(), LogError> {
        let mut transaction = self.store.pool().begin().await?;
        let (tree, _) = take_turn(&mut transaction, &*self.signer, None).await?;
        transaction.commit().await?;
        self.tree = Some(tree);
        Ok(())
    }

    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            match self.commit(&batch).await {
                Ok(positions) => {
                    for (release, position) in batch.drain(..).zip(positions) {
                        // The asker may have gone; the entry stays.
                        let _ = release.answer.send(position);
                    }
                }
                Err(error) => {
                    let error = LogError::from(error);
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the release log takes no entries"
                    );
                    // The outcome of a failed commit is unknown: the next turn reads the tree again.
                    self.tree = None;
                    for release in batch.drain(..) {
                        let _ = release.answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    async fn commit(&mut self, batch: &[Waiting]) -> Result<Vec<Result<LogPosition, LogError>>, StoreError> {
        let mut transaction = self.store.pool().begin().await?;
        let (mut tree, last_signed) = take_turn(&mut transaction, &*self.signer, self.tree.take()).await?;
        let waiting = batch.iter().map(|release| &release.entry);
        let settled = generations::settle(&mut transaction, waiting).await?;
        let first = tree.size();
        let mut entries = Vec::with_capacity(batch.len());
        let mut nodes = Vec::new();
        for (entry, position) in settled.iter().flatten().zip(first..) {
            let leaf = entry.leaf_bytes();
            tree.append(leaf_hash(&leaf), |id, hash| nodes.push((id, hash)));
            entries.push((bigint(position)?, entry.app_id.to_plain_hex(), hex::encode(leaf)));
        }
        if entries.is_empty() {
            // All of them were refused: there is nothing to sign or to keep.
            transaction.rollback().await?;
            self.tree = Some(tree);
            return Ok(settled
                .into_iter()
                .filter_map(|entry| entry.err().map(Err))
                .collect());
        }
        insert_entries(&mut transaction, &entries).await?;
        insert_nodes(&mut transaction, &nodes).await?;
        let head = self.signed_head(&tree, last_signed)?;
        store_head(&mut transaction, &head).await?;
        // K7: the answers wait for this.
        transaction.commit().await?;
        self.tree = Some(tree);
        let mut indices = first..;
        let positions = settled.into_iter().map(|entry| {
            let entry = entry?;
            Ok(LogPosition {
                index: indices.next().ok_or(LogError::Stopped)?,
                entry,
                tree_head: head.clone(),
            })
        });
        Ok(positions.collect())
    }

    fn signed_head(&self, tree: &Frontier, last: UnixTime) -> Result<SignedTreeHead, StoreError> {
        let (size, root) = (tree.size(), tree.root());
        let time = self.signer.now().max(last);
        let signature = self.signer.sign(&SignedTreeHead::signed_bytes(size, &root, time));
        let blob = |_| StoreError::Corrupt {
            expected: "a tree head",
            actual: "another length".to_owned(),
        };
        Ok(SignedTreeHead {
            size,
            root: Blob::new(root.to_vec()).map_err(blob)?,
            time,
            signature: Blob::new(signature.to_vec()).map_err(blob)?,
        })
    }
}

/// Locks the head's row, then reads it: on PostgreSQL another node may have appended since.
async fn take_turn(
    connection: &mut AnyConnection,
    signer: &dyn TreeSigner,
    known: Option<Frontier>,
) -> Result<(Frontier, UnixTime), StoreError> {
    let row = sqlx::query::<Any>(
        "UPDATE log_head SET turn = turn + 1 WHERE id = 1 RETURNING size, root, signed_at, signature",
    )
    .fetch_one(&mut *connection)
    .await?;
    let Some(head) = read_head(&row)? else {
        refuse_headless(connection).await?;
        return Ok((Frontier::default(), UnixTime(0)));
    };
    let root = stored_root(&head)?;
    // K7: whoever can write to the database must not have this node sign a history that it did not write.
    if !signer.verify(
        &SignedTreeHead::signed_bytes(head.size, &root, head.time),
        head.signature.as_bytes(),
    ) {
        return Err(StoreError::Corrupt {
            expected: "a tree head signed with the log key of this network",
            actual: format!("another signature over {} leaves", head.size),
        });
    }
    let tree = match known.filter(|tree| tree.size() == head.size) {
        Some(tree) => tree,
        None => read_frontier(connection, head.size).await?,
    };
    if tree.root() != head.root.as_bytes() {
        return Err(StoreError::Corrupt {
            expected: "a tree head over the stored nodes",
            actual: format!("root {} over {} leaves", hex::encode(tree.root()), head.size),
        });
    }
    Ok((tree, head.time))
}

fn stored_root(head: &SignedTreeHead) -> Result<Hash, StoreError> {
    head.root.as_bytes().try_into().map_err(|_| StoreError::Corrupt {
        expected: "a tree hash",
        actual: format!("{} bytes", head.root.as_bytes().len()),
    })
}

/// Refuses a log that has entries but no head.
async fn refuse_headless(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let first = sqlx::query::<Any>("SELECT position FROM log_entries LIMIT 1")
        .fetch_optional(connection)
        .await?;
    // K7: with its head gone the log would begin anew, and what it held would be in no tree.
    match first {
        None => Ok(()),
        Some(_) => Err(StoreError::Corrupt {
            expected: "a tree head over the stored entries",
            actual: "entries without a tree head".to_owned(),
        }),
    }
}

async fn insert_entries(
    connection: &mut AnyConnection,
    entries: &[(i64, String, String)],
) -> Result<(), StoreError> {
    for chunk in chunks(entries) {
        let sql = insert_sql("log_entries (position, app_id, leaf)", chunk.len());
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for (position, app, leaf) in chunk {
            query = query.bind(*position).bind(app.as_str()).bind(leaf.as_str());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn insert_nodes(connection: &mut AnyConnection, nodes: &[(NodeId, Hash)]) -> Result<(), StoreError> {
    for chunk in chunks(nodes) {
        let sql = insert_sql("log_nodes (level, position, hash)", chunk.len());
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for (id, hash) in chunk {
            query = query
                .bind(i64::from(id.level))
                .bind(bigint(id.position)?)
                .bind(hex::encode(hash));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn store_head(connection: &mut AnyConnection, head: &SignedTreeHead) -> Result<(), StoreError> {
    sqlx::query::<Any>(
        "UPDATE log_head SET size = $1, root = $2, signed_at = $3, signature = $4 WHERE id = 1",
    )
    .bind(bigint(head.size)?)
    .bind(hex::encode(head.root.as_bytes()))
    .bind(bigint(head.time.0)?)
    .bind(hex::encode(head.signature.as_bytes()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Rows in groups of powers of two, so that few distinct statements are prepared.
pub(super) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = 1_usize << rows.len().checked_ilog2()?;
        let (chunk, rest) = rows.split_at_checked(size)?;
        rows = rest;
        Some(chunk)
    })
}

/// An insert of `rows` rows of three columns.
fn insert_sql(table: &str, rows: usize) -> String {
    let values: Vec<String> = (0..rows)
        .map(|row| format!("(${}, ${}, ${})", row * 3 + 1, row * 3 + 2, row * 3 + 3))
        .collect();
    format!("INSERT INTO {table} VALUES {}", values.join(", "))
}
