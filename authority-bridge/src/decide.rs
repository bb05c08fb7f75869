//! How a decision is come by: remembered, executed again over what is proven, or fetched and proven first. The first
//! two take no request; the third is bounded in time and number, and shared by everyone who waits for the same record.

use crate::{
    Bridge, BridgeError, Decided,
    bridge::contract_fault,
    cold::{Call, Completed},
    memo::{Entry, Held},
    snapshot::{Snapshot, View},
};
use authority_policy::{PolicyError, Question, Stop, Subject, Verdict};
use kms_types::BootRecord;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// Gas above which an execution leaves the caller's thread (some hundred microseconds).
const HEAVY_GAS: u64 = 2_000_000;
/// How often a decision starts over because the head moved while it fetched.
const MAX_ATTEMPTS: usize = 5;
/// Waiting records for each concurrent fetch.
const MAX_WAITING: usize = 256;

type Key = (Subject, BootRecord);
type Cell = Arc<OnceCell<Result<Decided, BridgeError>>>;

/// Decisions that are being fetched.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<HashMap<Key, Cell>>);

/// One caller's place among those who wait for a record; leaves with the caller, answered or cancelled.
struct Place<'a> {
    waiting: &'a Waiting,
    key: Key,
    cell: Cell,
}

impl Waiting {
    fn join(&self, key: Key, limit: usize) -> Result<Place<'_>, BridgeError> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.len() >= limit && !cells.contains_key(&key) {
            return Err(BridgeError::unavailable("too many decisions wait for evidence"));
        }
        let cell = Arc::clone(cells.entry(key.clone()).or_default());
        Ok(Place {
            waiting: self,
            key,
            cell,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut cells = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = cells
            .get(&self.key)
            .is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // An answer is for those who waited, not for who comes later; without an answer the last one to leave tidies up.
        if ours && (self.cell.initialized() || Arc::strong_count(&self.cell) <= 2) {
            cells.remove(&self.key);
        }
    }
}

impl Bridge {
    /// Decides from what is remembered and proven; `None` when something must be fetched first.
    pub(crate) fn warm(
        &self,
        snapshot: &Snapshot,
        subject: Subject,
        record: &BootRecord,
    ) -> Result<Option<Decided>, BridgeError> {
        let Some(entry) = self.shared.memo.find(subject, record) else {
            return Ok(None);
        };
        let hash = entry.question.record_hash();
        let Some(head) = self.hold(&entry.question, &entry.head, &snapshot.head)? else {
            return Ok(None);
        };
        if let Verdict::Denied { .. } = head.outcome.value {
            let decided = Decided::new(snapshot, hash, &head.outcome.value, None);
            self.remember(subject, record, &entry, head, None);
            return Ok(Some(decided));
        }
        let Some(before) = &entry.finalized else {
            return Ok(None);
        };
        let Some(finalized) = self.hold(&entry.question, before, &snapshot.finalized)? else {
            return Ok(None);
        };
        let decided = Decided::new(
            snapshot,
            hash,
            &head.outcome.value,
            Some(&finalized.outcome.value),
        );
        self.remember(subject, record, &entry, head, Some(finalized));
        Ok(Some(decided))
    }

    /// The verdict at the view's block, from the one before if nothing it read has changed, else executed again.
    fn hold(&self, question: &Question, held: &Held, view: &View) -> Result<Option<Held>, BridgeError> {
        let block = view.hash();
        // C7: a verdict belongs to one block hash; one of an orphaned block is not found again.
        if held.block == block {
            return Ok(Some(held.clone()));
        }
        let state = view.state();
        let outcome = if held.outcome.reads.hold_in(&state) {
            Arc::clone(&held.outcome)
        } else if held.outcome.gas_used > HEAVY_GAS {
            return Ok(None);
        } else {
            match question.ask(&state, &self.rules) {
                Ok(outcome) => Arc::new(outcome),
                Err(Stop::Missing(_)) => return Ok(None),
                Err(Stop::Failed(fault)) => return Err(contract_fault(view, fault)),
            }
        };
        Ok(Some(Held { block, outcome }))
    }

    fn remember(
        &self,
        subject: Subject,
        record: &BootRecord,
        old: &Entry,
        head: Held,
        finalized: Option<Held>,
    ) {
        let finalized = finalized.or_else(|| old.finalized.clone());
        let block = |held: &Option<Held>| held.as_ref().map(|held| held.block);
        if old.head.block != head.block || block(&old.finalized) != block(&finalized) {
            let entry = Entry::new(old.question.clone(), head, finalized);
            self.shared.memo.keep(subject, record, entry);
        }
    }

    /// One fetch for everyone who waits for the same record.
    pub(crate) async fn coalesced(
        &self,
        subject: Subject,
        record: &BootRecord,
    ) -> Result<Decided, BridgeError> {
        let limit = self.config.max_concurrent_fetches.saturating_mul(MAX_WAITING);
        let place = self.waiting.join((subject, record.clone()), limit)?;
        place
            .cell
            .get_or_init(|| self.cold_in_time(subject, record))
            .await
            .clone()
    }

    async fn cold_in_time(&self, subject: Subject, record: &BootRecord) -> Result<Decided, BridgeError> {
        let limit = self.config.decision_timeout;
        tokio::time::timeout(limit, self.cold(subject, record))
            .await
            .unwrap_or_else(|_| Err(BridgeError::unavailable(format!("no decision within {limit:?}"))))
    }

    async fn cold(&self, subject: Subject, record: &BootRecord) -> Result<Decided, BridgeError> {
        let closed = |_| BridgeError::unavailable("shutting down");
        let _permit = self.fetches.acquire().await.map_err(closed)?;
        let question = Question::new(self.config.contract, subject, record);
        for _ in 0..MAX_ATTEMPTS {
            let snapshot = self.current()?;
            let (head, finalized) = tokio::try_join!(
                self.fetched(&question, &snapshot.head),
                self.fetched(&question, &snapshot.finalized),
            )?;
            // C4: the head must still be the head when the answer is given.
            if self.current()?.head.hash() != snapshot.head.hash() {
                continue;
            }
            let head = head.map_err(|fault| contract_fault(&snapshot.head, fault))?;
            let finalized = match finalized {
                Ok(held) => Some(held),
                Err(PolicyError::NoCode { .. }) => None,
                Err(_) if head.outcome.value != Verdict::Allowed => None,
                Err(fault) => return Err(contract_fault(&snapshot.finalized, fault)),
            };
            let verdict = finalized.as_ref().map(|held| &held.outcome.value);
            let decided = Decided::new(&snapshot, question.record_hash(), &head.outcome.value, verdict);
            self.shared
                .memo
                .keep(subject, record, Entry::new(question, head, finalized));
            return Ok(decided);
        }
        Err(BridgeError::unavailable(
            "the head moved faster than evidence could be fetched",
        ))
    }

    /// The verdict at one block, with whatever it takes to prove it.
    async fn fetched(
        &self,
        question: &Question,
        view: &Arc<View>,
    ) -> Result<Result<Held, PolicyError>, BridgeError> {
        let (asked, rules) = (question.clone(), self.rules);
        let call = Call {
            contract: question.contract(),
            data: question.call().clone(),
            ask: move |state: &_| asked.ask(state, &rules),
        };
        let Completed { state, answer } = self.fetcher.complete(view.state(), &call).await?;
        view.absorb(&state).map_err(|fault| contract_fault(view, fault))?;
        Ok(answer.map(|outcome| Held {
            block: view.hash(),
            outcome: Arc::new(outcome),
        }))
    }
}
