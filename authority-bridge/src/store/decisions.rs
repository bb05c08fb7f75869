//! Decisions in the database: numbered, listed, read back as a file, thrown away when old. A part that several decisions need
//! is stored once, under its hash. Refused: evidence that no longer checks after it was read back.

use super::{ChainStore, StoreError, bigint, stored, unsigned};
use crate::Decided;
use alloy::primitives::{B256, Bytes, hex, keccak256};
use authority_policy::{DecisionEvidence, Expected, Facts, Finality, Subject, Verdict, read_header};
use kms_types::{AppId, BlockHash, BlockRef, UnixTime};
use sqlx::{Any, AssertSqlSafe, Row, Transaction, any::AnyRow};
use std::collections::{BTreeMap, HashMap};

/// Decisions of one page.
pub const MAX_DECISIONS: u32 = 256;
/// Rows of one statement; each has three values.
const ROWS: usize = 100;

/// A decision that was made, with what proves it or why nothing does.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// What for.
    pub subject: Subject,
    /// About which app.
    pub app_id: AppId,
    /// The decision.
    pub decided: Decided,
    /// When, by this machine's clock.
    pub time: UnixTime,
    /// Its evidence.
    pub evidence: Result<DecisionEvidence, String>,
}

/// What became of the head a decision was made at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is not known to be final.
    Open,
    /// It became final.
    Final,
    /// Another block of its height did: the decision is void.
    Orphaned,
}

/// A decision as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDecision {
    /// Its number.
    pub id: u64,
    /// What for.
    pub subject: Subject,
    /// About which app.
    pub app_id: AppId,
    /// Keccak-256 of the ABI encoding of the facts.
    pub record_hash: BlockHash,
    /// What it was.
    pub verdict: Verdict,
    /// Which block decided.
    pub decided_by: Finality,
    /// The head.
    pub head: BlockRef,
    /// The finalized block.
    pub finalized: BlockRef,
    /// When, by the clock of the node.
    pub time: UnixTime,
    /// What became of the head.
    pub standing: Standing,
    /// Why no evidence was kept, when none was.
    pub missing: Option<String>,
}

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Most decisions.
    pub count: u64,
    /// Longest time, in seconds.
    pub age_s: u64,
}

const COLUMNS: &str = "id, subject, app, record_hash, allowed, reason, decided_by, head_number, head_hash, \
                       finalized_number, finalized_hash, time, standing, missing";

/// Files made at a time: each runs a contract twice and reads hundreds of rows.
static CHECKS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);

impl ChainStore {
    /// Stores decisions in one transaction; those that are there already are left as they are. Returns how many are new.
    ///
    /// # Errors
    /// When the database fails; then none is stored.
    pub async fn record(&self, batch: &[Recorded]) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // The first statement writes, so that SQLite never has to turn a reader into a writer.
        sqlx::query::<Any>("UPDATE decision_counter SET next = next WHERE id = 1")
            .execute(&mut *transaction)
            .await?;
        let row = sqlx::query::<Any>("SELECT next FROM decision_counter WHERE id = 1")
            .fetch_one(&mut *transaction)
            .await?;
        let first = unsigned(row.try_get("next")?)?;
        let mut next = first;
        let mut parts = BTreeMap::new();
        for decision in batch {
            if self.insert(&mut transaction, next, decision).await? {
                if let Ok(evidence) = &decision.evidence {
                    collect(&mut parts, evidence, next);
                }
                next = next.saturating_add(1);
            }
        }
        store_parts(&mut transaction, parts).await?;
        sqlx::query::<Any>("UPDATE decision_counter SET next = $1 WHERE id = 1")
            .bind(bigint(next)?)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(next.saturating_sub(first))
    }

    async fn insert(
        &self,
        transaction: &mut Transaction<'_, Any>,
        id: u64,
        decision: &Recorded,
    ) -> Result<bool, StoreError> {
        let (file, nodes, codes, missing) = columns(&decision.evidence);
        let decided = &decision.decided;
        let (allowed, reason) = match &decided.verdict {
            Verdict::Allowed => (1_i64, ""),
            Verdict::Denied { reason } => (0, reason.as_str()),
        };
        let done = sqlx::query::<Any>(
            "INSERT INTO decision (id, chain_id, contract, subject, app, record_hash, allowed, reason, decided_by, \
             head_number, head_hash, finalized_number, finalized_hash, time, standing, file, nodes, codes, missing) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, $15, $16, $17, $18) \
             ON CONFLICT (chain_id, contract, subject, record_hash, head_hash, finalized_hash) DO NOTHING",
        )
        .bind(bigint(id)?)
        .bind(bigint(self.chain_id.0)?)
        .bind(self.contract.to_plain_hex())
        .bind(subject_name(decision.subject))
        .bind(decision.app_id.to_plain_hex())
        .bind(decided.record_hash.to_plain_hex())
        .bind(allowed)
        .bind(text(reason))
        .bind(decided.decided_by.as_str())
        .bind(bigint(decided.head.number)?)
        .bind(decided.head.hash.to_plain_hex())
        .bind(bigint(decided.finalized.number)?)
        .bind(decided.finalized.hash.to_plain_hex())
        .bind(bigint(decision.time.0)?)
        .bind(file)
        .bind(nodes)
        .bind(codes)
        .bind(text(&missing))
        .execute(&mut **transaction)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// At most `count` decisions from number `start` on, of one app or of all; one more than a page is given, to tell whether
    /// there is another.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn decisions(
        &self,
        start: u64,
        count: u32,
        app_id: Option<AppId>,
    ) -> Result<Vec<StoredDecision>, StoreError> {
        let of_app = match app_id {
            Some(_) => "AND app = $5 ",
            None => "",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM decision WHERE chain_id = $1 AND contract = $2 AND id >= $3 {of_app}ORDER BY id LIMIT $4"
        );
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql))
            .bind(bigint(self.chain_id.0)?)
            .bind(self.contract.to_plain_hex())
            .bind(bigint(start)?)
            .bind(i64::from(count.min(MAX_DECISIONS + 1)));
        if let Some(app_id) = app_id {
            query = query.bind(app_id.to_plain_hex());
        }
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(listed).collect()
    }

    /// The evidence of a decision: outer `None` no such decision, inner error why none was kept.
    ///
    /// # Errors
    /// When the database fails, or holds something else than was written.
    pub async fn decision_evidence(
        &self,
        id: u64,
    ) -> Result<Option<Result<DecisionEvidence, String>>, StoreError> {
        // Anyone may ask, and an app's own contract says what it costs: it must not take the threads and connections of releases.
        let turn = CHECKS.acquire().await;
        let row = sqlx::query::<Any>(
            "SELECT file, nodes, codes, missing FROM decision WHERE chain_id = $1 AND contract = $2 AND id = $3",
        )
        .bind(bigint(self.chain_id.0)?)
        .bind(self.contract.to_plain_hex())
        .bind(bigint(id)?)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let file: String = row.try_get("file")?;
        if file.is_empty() {
            return Ok(Some(Err(row.try_get("missing")?)));
        }
        let mut evidence = DecisionEvidence::from_json(file.as_bytes())
            .map_err(|error| corrupt("the evidence of a decision", &error))?;
        evidence.witness.nodes = self.parts(&row.try_get::<String, _>("nodes")?).await?;
        evidence.witness.codes = self.parts(&row.try_get::<String, _>("codes")?).await?;
        let mut parent = evidence.head.fields.parent_hash;
        let between = evidence
            .head
            .fields
            .number
            .saturating_sub(evidence.finalized.fields.number);
        for _ in 1..between {
            let rlp = self.parts(&hex::encode(parent)).await?;
            let rlp = rlp.first().ok_or_else(|| corrupt("a header", &parent))?;
            let header = read_header(rlp).map_err(|error| corrupt("a header", &error))?;
            parent = header.parent_hash;
            evidence.links.push(header);
        }
        evidence.links.reverse();
        // What the disk did to it must not leave as this node's evidence.
        let checked = tokio::task::spawn_blocking(move || {
            // Held by the work: whoever asked may be gone before it ends.
            let _turn = turn;
            let outcome = evidence.check(&Expected::default()).outcome.map(drop);
            outcome.map(|()| evidence)
        });
        match checked.await {
            Ok(Ok(evidence)) => Ok(Some(Ok(evidence))),
            Ok(Err(mismatch)) => Err(corrupt("evidence that checks", &mismatch)),
            Err(ended) => Err(corrupt("evidence that checks", &ended)),
        }
    }

    /// The parts with these hashes, in their order.
    async fn parts(&self, hashes: &str) -> Result<Vec<Bytes>, StoreError> {
        let mut wanted = Vec::new();
        for hash in hashes.as_bytes().chunks(64) {
            let hash = String::from_utf8_lossy(hash).into_owned();
            stored::<32>("hashes of parts", &hash)?;
            wanted.push(hash);
        }
        let mut found = HashMap::new();
        for some in wanted.chunks(ROWS) {
            let places: Vec<String> = (1..=some.len()).map(|index| format!("${index}")).collect();
            let sql = format!(
                "SELECT hash, bytes FROM decision_part WHERE hash IN ({})",
                places.join(", ")
            );
            let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
            for hash in some {
                query = query.bind(hash);
            }
            for row in query.fetch_all(&self.pool).await? {
                let bytes: String = row.try_get("bytes")?;
                let bytes = hex::decode(bytes).map_err(|error| corrupt("hex", &error))?;
                found.insert(row.try_get::<String, _>("hash")?, Bytes::from(bytes));
            }
        }
        let part = |hash: &String| {
            found
                .get(hash)
                .cloned()
                .ok_or_else(|| corrupt("a part of a decision", hash))
        };
        wanted.iter().map(part).collect()
    }

    /// Marks decisions whose head's height has become final: with their head, or with another block.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_decisions(&self) -> Result<u64, StoreError> {
        // C7: a decision at a block that is not on the chain is void, and whoever reads it later must see that.
        let same_height = "SELECT 1 FROM chain_header WHERE chain_header.chain_id = decision.chain_id \
                           AND chain_header.contract = decision.contract AND chain_header.number = decision.head_number";
        let sql = format!(
            "UPDATE decision SET standing = CASE WHEN EXISTS ({same_height} AND chain_header.hash = decision.head_hash) \
             THEN 1 ELSE 2 END WHERE chain_id = $1 AND contract = $2 AND standing = 0 AND EXISTS ({same_height})"
        );
        let done = sqlx::query::<Any>(AssertSqlSafe(sql))
            .bind(bigint(self.chain_id.0)?)
            .bind(self.contract.to_plain_hex())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// Throws away decisions beyond what is to be kept, and parts no decision needs any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_decisions(&self, keep: Retention, now: UnixTime) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query::<Any>(
            "DELETE FROM decision WHERE chain_id = $1 AND contract = $2 AND (time < $3 OR id <= \
             (SELECT COALESCE(MAX(older.id), 0) FROM (SELECT id FROM decision WHERE chain_id = $1 AND contract = $2 \
             ORDER BY id DESC LIMIT 1 OFFSET $4) AS older))",
        )
        .bind(bigint(self.chain_id.0)?)
        .bind(self.contract.to_plain_hex())
        .bind(bigint(now.0.saturating_sub(keep.age_s))?)
        .bind(bigint(keep.count)?)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() > 0 {
            sqlx::query::<Any>(
                "DELETE FROM decision_part WHERE last < (SELECT COALESCE(MIN(id), (SELECT next FROM decision_counter \
                 WHERE decision_counter.id = 1)) FROM decision)",
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(done.rows_affected())
    }
}

/// File without its parts, hashes of nodes and codes, why nothing is kept.
fn columns(evidence: &Result<DecisionEvidence, String>) -> (String, String, String, String) {
    let none = |why: String| (String::new(), String::new(), String::new(), why);
    let evidence = match evidence {
        Ok(evidence) => evidence,
        Err(why) => return none(why.clone()),
    };
    let hashes = |parts: &[Bytes]| parts.iter().map(|part| hex::encode(keccak256(part))).collect();
    let mut bare = evidence.clone();
    bare.links.clear();
    bare.witness = Default::default();
    match bare.to_json() {
        Ok(file) => (
            String::from_utf8_lossy(&file).into_owned(),
            hashes(&evidence.witness.nodes),
            hashes(&evidence.witness.codes),
            String::new(),
        ),
        Err(error) => none(error.to_string()),
    }
}

fn collect(parts: &mut BTreeMap<B256, (Bytes, u64)>, evidence: &DecisionEvidence, id: u64) {
    let witness = &evidence.witness;
    for part in witness.nodes.iter().chain(&witness.codes) {
        parts.insert(keccak256(part), (part.clone(), id));
    }
    for header in &evidence.links {
        let rlp = Bytes::from(alloy_rlp::encode(header));
        parts.insert(keccak256(&rlp), (rlp, id));
    }
}

async fn store_parts(
    transaction: &mut Transaction<'_, Any>,
    parts: BTreeMap<B256, (Bytes, u64)>,
) -> Result<(), StoreError> {
    let parts: Vec<(B256, (Bytes, u64))> = parts.into_iter().collect();
    for some in parts.chunks(ROWS) {
        let row = |index: usize| format!("(${}, ${}, ${})", index * 3 + 1, index * 3 + 2, index * 3 + 3);
        let rows: Vec<String> = (0..some.len()).map(row).collect();
        let sql = format!(
            "INSERT INTO decision_part (hash, bytes, last) VALUES {} ON CONFLICT (hash) DO UPDATE SET last = excluded.last",
            rows.join(", ")
        );
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for (hash, (bytes, last)) in some {
            query = query
                .bind(hex::encode(hash))
                .bind(hex::encode(bytes))
                .bind(bigint(*last)?);
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

fn listed(row: &AnyRow) -> Result<StoredDecision, StoreError> {
    let text = |name: &str| row.try_get::<String, _>(name);
    let number = |name: &str| unsigned(row.try_get(name)?);
    let block = |number_name: &str, hash_name: &str| {
        Ok::<BlockRef, StoreError>(BlockRef {
            number: number(number_name)?,
            hash: BlockHash::new(stored("a block hash", &text(hash_name)?)?),
        })
    };
    Ok(StoredDecision {
        id: number("id")?,
        subject: match text("subject")?.as_str() {
            "app" => Subject::App,
            "kms" => Subject::Kms,
            other => return Err(corrupt("app or kms", &other)),
        },
        app_id: AppId::new(stored("an app id", &text("app")?)?),
        record_hash: BlockHash::new(stored("a record hash", &text("record_hash")?)?),
        verdict: match number("allowed")? {
            1 => Verdict::Allowed,
            _ => Verdict::Denied {
                reason: text("reason")?,
            },
        },
        decided_by: match text("decided_by")?.as_str() {
            "head" => Finality::Head,
            "finalized" => Finality::Finalized,
            other => return Err(corrupt("head or finalized", &other)),
        },
        head: block("head_number", "head_hash")?,
        finalized: block("finalized_number", "finalized_hash")?,
        time: UnixTime(number("time")?),
        standing: match number("standing")? {
            0 => Standing::Open,
            1 => Standing::Final,
            _ => Standing::Orphaned,
        },
        missing: Some(text("missing")?).filter(|why| !why.is_empty()),
    })
}

const fn subject_name(subject: Subject) -> &'static str {
    match subject {
        Subject::App => "app",
        Subject::Kms => "kms",
    }
}

/// PostgreSQL takes no zero character in a text.
fn text(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

fn corrupt(expected: &'static str, actual: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        expected,
        actual: actual.to_string().chars().take(200).collect(),
    }
}

/// The app facts are about.
pub(crate) const fn app_of(facts: &Facts) -> AppId {
    match facts {
        Facts::Record(record) => record.info.app_id,
        Facts::Info(info) => info.app_id,
    }
}
