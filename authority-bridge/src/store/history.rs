//! Headers that were followed and the events they hold. A piece of the chain is stored whole, in one transaction, or not
//! at all; of several nodes on one database one stores it.

use super::{ChainStore, StoreError, bigint, columns::corrupt, floor::block, stored, unsigned};
use alloy::{
    hex,
    primitives::{Address, B256, Bytes},
};
use authority_policy::ProvenHeader;
use kms_types::{AppId, BlockRef, ChainAddress, UnixTime};
use serde::{Deserialize, Serialize};
use sqlx::{Any, AnyConnection, Row, any::AnyRow};

/// Finalized headers kept although they hold no event.
const KEPT_HEADERS: u64 = 10_000;
/// Most events of one page.
pub const MAX_PAGE: u32 = 256;

/// One field of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventField {
    /// Name in the contract.
    pub name: String,
    /// Hex with `0x`, a decimal number, `true` or `false`, or text.
    pub value: String,
}

/// An event and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its block.
    pub block: BlockRef,
    /// Time of the block.
    pub time: UnixTime,
    /// Index of its transaction in the block.
    pub transaction: u64,
    /// Index of the log in the block.
    pub log_index: u64,
    /// Contract that emitted it.
    pub emitter: ChainAddress,
    /// App it is about, if any.
    pub app: Option<AppId>,
    /// Name in the ABI; `unknown` for what the ABI does not name.
    pub event: String,
    /// Decoded fields, in the order of the ABI.
    pub fields: Vec<EventField>,
    /// Topics as they came.
    pub topics: Vec<B256>,
    /// Data as they came, up to a bound.
    pub data: Bytes,
}

/// Which blocks have been read without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRange {
    /// First block.
    pub from: u64,
    /// Last block.
    pub to: u64,
}

/// Some events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// In the order of the chain.
    pub events: Vec<StoredEvent>,
    /// Index of the event after these, if there is one.
    pub next: Option<u64>,
}

/// How far the history goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) from: u64,
    /// Newest block read; none before the first.
    pub(crate) done: Option<BlockRef>,
}

impl Progress {
    /// The block to read next.
    pub(crate) fn next(&self) -> u64 {
        self.done.map_or(self.from, |done| done.number.saturating_add(1))
    }
}

/// Consecutive blocks with what they hold.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    /// With a mark where a block holds events.
    pub(crate) headers: Vec<(ProvenHeader, bool)>,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) apps: Vec<Address>,
}

impl ChainStore {
    fn scope(&self) -> Result<(i64, String), StoreError> {
        Ok((bigint(self.chain_id.0)?, self.contract.to_plain_hex()))
    }

    /// How far the history goes; nothing before it was begun.
    pub(crate) async fn progress(&self) -> Result<Option<Progress>, StoreError> {
        let (chain, contract) = self.scope()?;
        let row = sqlx::query::<Any>(
            "SELECT from_number, done_number AS number, done_hash AS hash FROM chain_history \
             WHERE chain_id = $1 AND contract = $2",
        )
        .bind(chain)
        .bind(contract)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let from = unsigned(row.try_get("from_number")?)?;
        let none = row.try_get::<String, _>("hash")?.is_empty();
        let done = (!none).then(|| block(&row)).transpose()?;
        Ok(Some(Progress { from, done }))
    }

    /// Begins the history at a block, or begins it anew when it began later; events already stored stay.
    pub(crate) async fn begin(&self, from: u64) -> Result<(), StoreError> {
        let (chain, contract) = self.scope()?;
        sqlx::query::<Any>(
            "INSERT INTO chain_history (chain_id, contract, from_number, done_number, done_hash) \
             VALUES ($1, $2, $3, $4, '') ON CONFLICT (chain_id, contract) DO UPDATE SET \
             from_number = excluded.from_number, done_number = excluded.done_number, done_hash = '' \
             WHERE excluded.from_number < chain_history.from_number",
        )
        .bind(chain)
        .bind(contract)
        .bind(bigint(from)?)
        .bind(bigint(from)?.saturating_sub(1))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The lowest ancestor known of a finalized block above `done`.
    pub(crate) async fn checkpoint(&self, next: u64) -> Result<Option<BlockRef>, StoreError> {
        let (chain, contract) = self.scope()?;
        let row = sqlx::query::<Any>(
            "SELECT number, hash FROM chain_checkpoint WHERE chain_id = $1 AND contract = $2 AND number >= $3 \
             ORDER BY number LIMIT 1",
        )
        .bind(chain)
        .bind(contract)
        .bind(bigint(next)?)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(block).transpose()
    }

    /// Notes an ancestor that was linked to a finalized block.
    pub(crate) async fn note_checkpoint(&self, at: BlockRef) -> Result<(), StoreError> {
        let (chain, contract) = self.scope()?;
        sqlx::query::<Any>(
            "INSERT INTO chain_checkpoint (chain_id, contract, number, hash) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (chain_id, contract, number) DO UPDATE SET hash = excluded.hash",
        )
        .bind(chain)
        .bind(contract)
        .bind(bigint(at.number)?)
        .bind(at.hash.to_plain_hex())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Apps that were ever registered, as far as the history goes.
    pub(crate) async fn apps(&self) -> Result<Vec<Address>, StoreError> {
        let (chain, contract) = self.scope()?;
        let rows = sqlx::query::<Any>("SELECT app FROM chain_app WHERE chain_id = $1 AND contract = $2")
            .bind(chain)
            .bind(contract)
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &AnyRow| {
            Ok(Address::new(stored(
                "an address",
                &row.try_get::<String, _>("app")?,
            )?))
        };
        rows.iter().map(read).collect()
    }

    /// Stores a piece that follows `after`. False when another node was first: then nothing is stored.
    pub(crate) async fn append(&self, after: &Progress, piece: &Piece) -> Result<bool, StoreError> {
        let Some((last, _)) = piece.headers.last() else {
            return Ok(true);
        };
        let last = last.block().block_ref();
        let (chain, contract) = self.scope()?;
        let mut transaction = self.pool.begin().await?;
        let moved = sqlx::query::<Any>(
            "UPDATE chain_history SET done_number = $1, done_hash = $2 \
             WHERE chain_id = $3 AND contract = $4 AND from_number = $5 AND done_number = $6",
        )
        .bind(bigint(last.number)?)
        .bind(last.hash.to_plain_hex())
        .bind(chain)
        .bind(contract.as_str())
        .bind(bigint(after.from)?)
        .bind(bigint(after.next())?.saturating_sub(1))
        .execute(&mut *transaction)
        .await?;
        if moved.rows_affected() != 1 {
            transaction.rollback().await?;
            return Ok(false);
        }
        for (header, has_events) in &piece.headers {
            self.insert_header(&mut transaction, header, *has_events).await?;
        }
        for app in &piece.apps {
            sqlx::query::<Any>(
                "INSERT INTO chain_app (chain_id, contract, app) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )
            .bind(chain)
            .bind(contract.as_str())
            .bind(hex::encode(app))
            .execute(&mut *transaction)
            .await?;
        }
        for event in &piece.events {
            self.insert_event(&mut transaction, event).await?;
        }
        self.prune(&mut transaction, last.number).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn insert_header(
        &self,
        connection: &mut AnyConnection,
        header: &ProvenHeader,
        has_events: bool,
    ) -> Result<(), StoreError> {
        let (chain, contract) = self.scope()?;
        let fields = header.fields();
        sqlx::query::<Any>(
            "INSERT INTO chain_header (chain_id, contract, number, hash, parent, time, state_root, receipts_root, rlp, \
             has_events) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        )
        .bind(chain)
        .bind(contract)
        .bind(bigint(header.number())?)
        .bind(hex::encode(header.hash()))
        .bind(hex::encode(header.parent_hash()))
        .bind(bigint(header.timestamp().0)?)
        .bind(hex::encode(fields.state_root))
        .bind(hex::encode(fields.receipts_root))
        .bind(hex::encode(alloy::rlp::encode(fields)))
        .bind(i64::from(has_events))
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn insert_event(
        &self,
        connection: &mut AnyConnection,
        event: &StoredEvent,
    ) -> Result<(), StoreError> {
        let (chain, contract) = self.scope()?;
        let json =
            |value: serde_json::Result<String>| value.map_err(|error| corrupt("JSON", &error.to_string()));
        sqlx::query::<Any>(
            "INSERT INTO policy_event (chain_id, contract, number, log_index, block_hash, time, tx_index, emitter, app, \
             event, fields, topics, data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
             ON CONFLICT DO NOTHING",
        )
        .bind(chain)
        .bind(contract)
        .bind(bigint(event.block.number)?)
        .bind(bigint(event.log_index)?)
        .bind(event.block.hash.to_plain_hex())
        .bind(bigint(event.time.0)?)
        .bind(bigint(event.transaction)?)
        .bind(event.emitter.to_plain_hex())
        .bind(event.app.map_or_else(String::new, |app| app.to_plain_hex()))
        .bind(event.event.as_str())
        .bind(json(serde_json::to_string(&event.fields))?)
        .bind(json(serde_json::to_string(&event.topics))?)
        .bind(hex::encode(&event.data))
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn prune(&self, connection: &mut AnyConnection, newest: u64) -> Result<(), StoreError> {
        let (chain, contract) = self.scope()?;
        sqlx::query::<Any>(
            "DELETE FROM chain_header WHERE chain_id = $1 AND contract = $2 AND number < $3 AND has_events = 0",
        )
        .bind(chain)
        .bind(contract.as_str())
        .bind(bigint(newest.saturating_sub(KEPT_HEADERS))?)
        .execute(&mut *connection)
        .await?;
        sqlx::query::<Any>(
            "DELETE FROM chain_checkpoint WHERE chain_id = $1 AND contract = $2 AND number <= $3",
        )
        .bind(chain)
        .bind(contract)
        .bind(bigint(newest)?)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Which blocks have been read; nothing before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn history(&self) -> Result<Option<HistoryRange>, StoreError> {
        let progress = self.progress().await?;
        Ok(progress.and_then(|progress| {
            progress.done.map(|done| HistoryRange {
                from: progress.from,
                to: done.number,
            })
        }))
    }

    /// Events from index `start` on, of one app or of all, at most [`MAX_PAGE`]. An index never names another event later,
    /// unless the history is begun anew from an older block.
    ///
    /// # Errors
    /// When the database fails or holds what was not written.
    pub async fn events(&self, start: u64, count: u32, app: Option<AppId>) -> Result<EventPage, StoreError> {
        let (chain, contract) = self.scope()?;
        let count = count.clamp(1, MAX_PAGE);
        let sql = match app {
            None => EVENTS_OF_ALL,
            Some(_) => EVENTS_OF_APP,
        };
        let mut query = sqlx::query::<Any>(sql)
            .bind(chain)
            .bind(contract)
            .bind(i64::from(count).saturating_add(1))
            .bind(bigint(start)?);
        if let Some(app) = app {
            query = query.bind(app.to_plain_hex());
        }
        let rows = query.fetch_all(&self.pool).await?;
        let events: Result<Vec<_>, _> = rows.iter().take(count as usize).map(event).collect();
        let next = (rows.len() > count as usize).then(|| start.saturating_add(u64::from(count)));
        Ok(EventPage {
            events: events?,
            next,
        })
    }
}

const EVENTS_OF_ALL: &str = "SELECT number, block_hash AS hash, time, tx_index, log_index, emitter, app, event, fields, topics, data \
     FROM policy_event WHERE chain_id = $1 AND contract = $2 ORDER BY number, log_index LIMIT $3 OFFSET $4";
const EVENTS_OF_APP: &str = "SELECT number, block_hash AS hash, time, tx_index, log_index, emitter, app, event, fields, topics, data \
     FROM policy_event WHERE chain_id = $1 AND contract = $2 AND app = $5 ORDER BY number, log_index LIMIT $3 OFFSET $4";

fn event(row: &AnyRow) -> Result<StoredEvent, StoreError> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let app = text("app")?;
    let (fields, topics, data) = (text("fields")?, text("topics")?, text("data")?);
    Ok(StoredEvent {
        block: block(row)?,
        time: UnixTime(unsigned(row.try_get("time")?)?),
        transaction: unsigned(row.try_get("tx_index")?)?,
        log_index: unsigned(row.try_get("log_index")?)?,
        emitter: ChainAddress::new(stored("an address", &text("emitter")?)?),
        app: match app.is_empty() {
            true => None,
            false => Some(AppId::new(stored("an app id", &app)?)),
        },
        event: text("event")?,
        fields: serde_json::from_str(&fields).map_err(|_| corrupt("fields of an event", &fields))?,
        topics: serde_json::from_str(&topics).map_err(|_| corrupt("topics of an event", &topics))?,
        data: hex::decode(&data)
            .map_err(|_| corrupt("data in hex", &data))?
            .into(),
    })
}
