//! The bridge as its callers see it. Warm answers take no request and no lock that is held across one; cold ones fetch
//! within bounds and are shared by everyone who waits for the same record.

use crate::{
    BridgeConfig, BridgeError, ChainStatus, Clock, Decided, Endpoint, EvidenceSource, HeaderSource,
    HeightFloor, NetworkState,
    cold::{Call, Completed, Fetcher},
    follower::{Follower, Shared},
    memo::{Entry, Held},
    snapshot::{Snapshot, View},
};
use authority_policy::{EvmRules, PolicyError, Question, Stop, Subject, Verdict};
use kms_types::{BootRecord, UnixTime};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OnceCell, Semaphore, watch},
    task::JoinHandle,
};

/// Gas above which an execution leaves the caller's thread (some hundred microseconds).
const HEAVY_GAS: u64 = 2_000_000;
/// How often a decision starts over because the head moved while it fetched.
const MAX_ATTEMPTS: usize = 5;

type Key = (Subject, BootRecord);
type Waiting = Arc<OnceCell<Result<Decided, BridgeError>>>;

/// Follows one contract on one chain.
pub struct Bridge {
    config: BridgeConfig,
    rules: EvmRules,
    fetcher: Fetcher,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    fetches: Semaphore,
    waiting: Mutex<HashMap<Key, Waiting>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Bridge {
    /// Starts with one endpoint for headers and evidence.
    ///
    /// An endpoint that cannot be reached yet is not an error: the bridge keeps trying and answers `Unavailable`.
    ///
    /// # Errors
    /// The endpoint serves another chain, contradicts the stored floor, or the floor cannot be read.
    pub async fn start(
        config: BridgeConfig,
        floor: Arc<dyn HeightFloor>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BridgeError> {
        let endpoint = Arc::new(Endpoint::new(&config)?);
        if !config.development {
            tracing::warn!(
                endpoint = HeaderSource::name(&*endpoint),
                "a single endpoint names the chain's headers; state is proven, headers are trusted"
            );
        }
        let headers: Arc<dyn HeaderSource> = Arc::clone(&endpoint) as _;
        Self::start_with(config, headers, endpoint, floor, clock).await
    }

    /// Starts with any source of headers and of evidence.
    ///
    /// # Errors
    /// As [`Bridge::start`].
    pub async fn start_with(
        config: BridgeConfig,
        headers: Arc<dyn HeaderSource>,
        evidence: Arc<dyn EvidenceSource>,
        floor: Arc<dyn HeightFloor>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BridgeError> {
        let fetcher = Fetcher::new(evidence, &config);
        let shared = Arc::new(Shared::new(config.max_memo));
        let follower = Follower {
            config: config.clone(),
            headers,
            fetcher: fetcher.clone(),
            floor,
            clock: Arc::clone(&clock),
            shared: Arc::clone(&shared),
            final_block: None,
            recent: Default::default(),
        };
        let (stop, stopped) = watch::channel(false);
        let tasks = follower.start(stopped).await?;
        Ok(Self {
            rules: config.rules(),
            fetches: Semaphore::new(config.max_concurrent_fetches),
            config,
            fetcher,
            shared,
            clock,
            waiting: Mutex::default(),
            stop,
            tasks: Mutex::new(tasks),
        })
    }

    /// Whether the contract allows `record`.
    ///
    /// # Errors
    /// Whenever there is no decision; an error never allows.
    pub async fn decide(&self, subject: Subject, record: &BootRecord) -> Result<Decided, BridgeError> {
        let snapshot = self.current()?;
        if let Some(decided) = self.warm(&snapshot, subject, record)? {
            return Ok(decided);
        }
        self.coalesced(subject, record).await
    }

    /// The network's state.
    ///
    /// # Errors
    /// When the head is too old, or the contract gave no such answer at either block.
    pub fn network(&self) -> Result<NetworkState, BridgeError> {
        let snapshot = self.current()?;
        let (head, finalized) = (&snapshot.head, &snapshot.finalized);
        match (&head.network, &finalized.network) {
            (Ok(at_head), Ok(at_finalized)) => Ok(NetworkState::combine(
                (at_head, head.block),
                (at_finalized, finalized.block),
            )),
            (Ok(_), Err(PolicyError::NoCode { .. })) => {
                let number = finalized.block.number;
                let text = format!("contract not yet visible at finalized block {number}");
                Err(BridgeError::unavailable(text))
            }
            (Err(fault), _) => Err(contract_fault(head, fault.clone())),
            (_, Err(fault)) => Err(contract_fault(finalized, fault.clone())),
        }
    }

    /// State of the follower.
    pub fn status(&self) -> ChainStatus {
        self.shared.status.borrow().clone()
    }

    /// Changes with every new head and with every failure or recovery of the follower.
    pub fn changes(&self) -> watch::Receiver<ChainStatus> {
        self.shared.status.subscribe()
    }

    /// Time of the newest head that was hashed here: no honest clock is behind it by more than the skew.
    pub fn time_floor(&self) -> Option<UnixTime> {
        let published = self.shared.published.borrow();
        published
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.head.block.timestamp)
    }

    /// Waits until there is a head to decide over.
    ///
    /// # Errors
    /// When there is none in time, with the follower's last failure.
    pub async fn ready(&self, within: Duration) -> Result<(), BridgeError> {
        let mut published = self.shared.published.subscribe();
        let ready =
            published.wait_for(|published| published.snapshot.is_some() && published.failure.is_none());
        match tokio::time::timeout(within, ready).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(self
                .failure()
                .unwrap_or_else(|| BridgeError::unavailable("no head yet"))),
        }
    }

    /// Stops following and waits for the tasks to end.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // A task that panicked has stopped as well.
            let _ = task.await;
        }
    }

    fn failure(&self) -> Option<BridgeError> {
        self.shared.published.borrow().failure.clone()
    }

    /// The snapshot, if a decision may rest on it now.
    fn current(&self) -> Result<Snapshot, BridgeError> {
        let published = self.shared.published.borrow().clone();
        // C6: a chain that contradicts itself or is another one decides nothing, however fresh the last head.
        if let Some(
            failure @ (BridgeError::Disagreement { .. }
            | BridgeError::WrongChain { .. }
            | BridgeError::Clock { .. }),
        ) = &published.failure
        {
            return Err(failure.clone());
        }
        let Some(snapshot) = published.snapshot else {
            let failure = published.failure;
            return Err(failure.unwrap_or_else(|| BridgeError::unavailable("no head yet")));
        };
        self.fresh(&snapshot.head, published.failure)?;
        Ok(snapshot)
    }

    // C5: an old head may hide a revocation; a clock behind the chain cannot tell how old it is.
    fn fresh(&self, head: &View, failure: Option<BridgeError>) -> Result<(), BridgeError> {
        let (now, time, reference) = (self.clock.now(), head.block.timestamp, head.block.block_ref());
        if time.0 > now.0.saturating_add(self.config.max_clock_skew_s) {
            return Err(BridgeError::Clock {
                head: reference,
                time,
                now,
                limit_s: self.config.max_clock_skew_s,
            });
        }
        let age_s = now.0.saturating_sub(time.0);
        match failure {
            _ if age_s <= self.config.max_head_age_s => Ok(()),
            Some(failure) => Err(failure),
            None => Err(BridgeError::Stale {
                head: reference,
                age_s,
                limit_s: self.config.max_head_age_s,
            }),
        }
    }

    /// Decides from what is remembered and proven; `None` when something must be fetched first.
    fn warm(
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
    async fn coalesced(&self, subject: Subject, record: &BootRecord) -> Result<Decided, BridgeError> {
        let key = (subject, record.clone());
        let cell = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= self.config.max_concurrent_fetches.saturating_mul(256) {
                return Err(BridgeError::unavailable("too many decisions wait for evidence"));
            }
            Arc::clone(waiting.entry(key.clone()).or_default())
        };
        let result = cell
            .get_or_init(|| self.cold_in_time(subject, record))
            .await
            .clone();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&key).is_some_and(|other| Arc::ptr_eq(other, &cell)) {
            waiting.remove(&key);
        }
        result
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

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            task.abort();
        }
    }
}

fn contract_fault(view: &View, source: PolicyError) -> BridgeError {
    BridgeError::Contract {
        block: view.block.block_ref(),
        source: Box::new(source),
    }
}
