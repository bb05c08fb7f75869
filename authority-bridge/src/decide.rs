//! How a decision is come by: remembered, or executed over what is proven, with what is missing fetched first. The second is
//! bounded in time and number, off the threads that serve, and shared by everyone who waits for the same answer.

use crate::{
    Bridge, BridgeError, Decided,
    bridge::contract_fault,
    cold::Call,
    evidence::Made,
    memo::{Entry, Held, MAX_READS},
    snapshot::{Snapshot, View},
    store::app_of,
};
use alloy::primitives::Bytes;
use authority_policy::{Facts, PolicyError, Question, Reads, Subject, Verdict, execute};
use kms_types::{AppId, ProvenBlock};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::{OnceCell, Semaphore};

/// How often a decision starts over because the head moved while it fetched.
const MAX_ATTEMPTS: usize = 5;
/// Waiting records for each concurrent fetch.
const MAX_WAITING: usize = 256;

type Key = (Subject, Facts);
type Cell = Arc<OnceCell<Result<Decided, BridgeError>>>;

/// Decisions that are being fetched.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<HashMap<Key, Cell>>);

/// Turns of each app that has questions under way.
#[derive(Default)]
pub(crate) struct Shares(Mutex<HashMap<AppId, Weak<Semaphore>>>);

impl Shares {
    /// The turns of one app: a quarter of all.
    fn of(&self, app: AppId, all: usize) -> Arc<Semaphore> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&app).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new((all / 4).max(1)));
        shares.insert(app, Arc::downgrade(&share));
        share
    }
}

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
    pub(crate) fn warm(&self, snapshot: &Snapshot, subject: Subject, facts: &Facts) -> Option<Decided> {
        let entry = self.shared.memo.find(subject, facts)?;
        let hash = entry.question.record_hash();
        let head = self.hold(&entry.head, &snapshot.head)?;
        if let Verdict::Denied { .. } = head.outcome.value {
            let decided = Decided::new(snapshot, hash, &head.outcome.value, None);
            if self.remember(subject, facts, &entry, head, None) {
                self.file(subject, facts, &decided, snapshot);
            }
            return Some(decided);
        }
        let finalized = self.hold(entry.finalized.as_ref()?, &snapshot.finalized)?;
        let decided = Decided::new(
            snapshot,
            hash,
            &head.outcome.value,
            Some(&finalized.outcome.value),
        );
        if self.remember(subject, facts, &entry, head, Some(finalized)) {
            self.file(subject, facts, &decided, snapshot);
        }
        Some(decided)
    }

    /// The verdict at the view's block, from the one before if nothing it read has changed. Nothing is executed here: what
    /// a contract costs now says nothing about what it will cost, and this thread serves others too.
    fn hold(&self, held: &Held, view: &View) -> Option<Held> {
        let block = view.hash();
        // C7: a verdict belongs to one block hash; one of an orphaned block is not found again.
        let same = held.block == block || held.outcome.reads.hold_in(&view.state, &self.rules);
        let outcome = Arc::clone(&held.outcome);
        same.then_some(Held { block, outcome })
    }

    fn remember(
        &self,
        subject: Subject,
        facts: &Facts,
        old: &Entry,
        head: Held,
        finalized: Option<Held>,
    ) -> bool {
        let finalized = finalized.or_else(|| old.finalized.clone());
        let block = |held: &Option<Held>| held.as_ref().map(|held| held.block);
        let new = old.head.block != head.block || block(&old.finalized) != block(&finalized);
        if new {
            let question = old.question.clone();
            let entry = Entry {
                question,
                head,
                finalized,
            };
            self.shared.memo.keep(subject, facts, entry);
        }
        new
    }

    // C6: what one call read is proven anew at every block, for everyone: what is too large to be remembered is not.
    fn note(&self, reads: &Reads) {
        if reads.size() <= MAX_READS {
            self.shared.upkeep.note(reads);
        }
    }

    /// Hands a decision to whoever files decisions, without waiting.
    fn file(&self, subject: Subject, facts: &Facts, decided: &Decided, snapshot: &Snapshot) {
        if let Some(outbox) = self.outbox.get() {
            outbox.put(Made {
                subject,
                facts: facts.clone(),
                decided: decided.clone(),
                snapshot: snapshot.clone(),
            });
        }
    }

    /// One fetch for everyone who waits for the same record.
    pub(crate) async fn coalesced(&self, subject: Subject, facts: &Facts) -> Result<Decided, BridgeError> {
        let limit = self.config.max_concurrent_fetches.saturating_mul(MAX_WAITING);
        let place = self.waiting.join((subject, facts.clone()), limit)?;
        place
            .cell
            .get_or_init(|| self.cold_in_time(subject, facts))
            .await
            .clone()
    }

    async fn cold_in_time(&self, subject: Subject, facts: &Facts) -> Result<Decided, BridgeError> {
        let limit = self.config.decision_timeout;
        tokio::time::timeout(limit, self.cold(subject, facts))
            .await
            .unwrap_or_else(|_| Err(BridgeError::unavailable(format!("no decision within {limit:?}"))))
    }

    async fn cold(&self, subject: Subject, facts: &Facts) -> Result<Decided, BridgeError> {
        let closed = |_| BridgeError::unavailable("shutting down");
        // C6: one app's questions wait for each other before they take what all apps share.
        let share = self.shares.of(app_of(facts), self.config.max_concurrent_fetches);
        let _turn = share.acquire().await.map_err(closed)?;
        let _permit = self.fetches.acquire().await.map_err(closed)?;
        let question = Question::new(self.config.contract, subject, facts);
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
            let entry = Entry {
                question,
                head,
                finalized,
            };
            self.shared.memo.keep(subject, facts, entry);
            self.file(subject, facts, &decided, &snapshot);
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
        let answer = self.fetcher.complete(&view.state, &call).await?;
        Ok(answer.map(|outcome| {
            self.note(&outcome.reads);
            Held {
                block: view.hash(),
                outcome: Arc::new(outcome),
            }
        }))
    }

    /// Calls a view function of the contract as it is at the head.
    ///
    /// # Errors
    /// When the head is too old, the call reverts or what it reads cannot be proven in time.
    pub async fn call(&self, data: Bytes) -> Result<Called, BridgeError> {
        let closed = |_| BridgeError::unavailable("shutting down");
        let _permit = self.fetches.acquire().await.map_err(closed)?;
        let view = self.current()?.head;
        let (contract, rules, input) = (self.config.contract(), self.rules, data.clone());
        let call = Call {
            contract,
            data,
            ask: move |state: &_| execute(state, &rules, contract, input.clone()),
        };
        let limit = self.config.decision_timeout;
        let answer = tokio::time::timeout(limit, self.fetcher.complete(&view.state, &call))
            .await
            .unwrap_or_else(|_| Err(BridgeError::unavailable(format!("no answer within {limit:?}"))))?;
        let outcome = answer.map_err(|fault| contract_fault(&view, fault))?;
        self.note(&outcome.reads);
        Ok(Called {
            output: outcome.value,
            block: view.block,
        })
    }
}

/// What a view call returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Its return data.
    pub output: Bytes,
    /// The block it was called at.
    pub block: ProvenBlock,
}
