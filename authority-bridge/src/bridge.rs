//! The bridge as its callers see it: start, ask, watch, stop. Refused: any answer over a head that is too old or ahead of
//! the clock, and over a chain that contradicts itself.

use crate::{
    BridgeConfig, BridgeError, ChainStatus, ChainStore, Clock, Decided, Endpoint, EvidenceSource,
    HeaderSource, HeightFloor, NetworkState, Quorum,
    audit::{Audit, AuditParts},
    cold::Fetcher,
    decide::{Shares, Waiting},
    evidence::Prover,
    follower::{Follower, Shared},
    recorder::Outbox,
    snapshot::{Snapshot, View},
};
use authority_policy::{EvmRules, Facts, PolicyError, Subject};
use kms_types::{BootRecord, UnixTime};
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};

/// Follows one contract on one chain.
pub struct Bridge {
    pub(crate) config: BridgeConfig,
    pub(crate) rules: EvmRules,
    pub(crate) fetcher: Fetcher,
    pub(crate) shared: Arc<Shared>,
    pub(crate) fetches: Semaphore,
    pub(crate) shares: Shares,
    pub(crate) waiting: Waiting,
    pub(crate) prover: Prover,
    /// Where decisions go to be filed, once there is such a place.
    pub(crate) outbox: OnceLock<Outbox>,
    headers: Arc<dyn HeaderSource>,
    evidence: Arc<dyn EvidenceSource>,
    clock: Arc<dyn Clock>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Bridge {
    /// Starts with the configured endpoints: several that must agree, or a single one in a development network.
    ///
    /// An endpoint that cannot be reached yet is not an error: the bridge keeps trying and answers `Unavailable`.
    ///
    /// # Errors
    /// What [`BridgeConfig::check`] refuses; so many endpoints serve another chain that too few are left; the chain
    /// contradicts the stored floor, or the floor cannot be read.
    pub async fn start(
        config: BridgeConfig,
        floor: Arc<dyn HeightFloor>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BridgeError> {
        config.check()?;
        if let [only] = config.endpoints.as_slice() {
            let endpoint = Arc::new(Endpoint::new(&config, only)?);
            tracing::warn!(
                endpoint = HeaderSource::name(&*endpoint),
                "a single endpoint says which headers are the chain's: whoever controls it can invent a contract state \
                 that allows anything"
            );
            let headers: Arc<dyn HeaderSource> = Arc::clone(&endpoint) as _;
            return Self::start_with(config, headers, endpoint, floor, clock).await;
        }
        let quorum = Quorum::new(&config)?;
        let evidence = Arc::new(quorum.evidence());
        Self::start_with(config, Arc::new(quorum), evidence, floor, clock).await
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
        let fetcher = Fetcher::new(Arc::clone(&evidence), &config);
        let prover = Prover::new(config.contract, config.rules(), Arc::clone(&headers));
        let shared = Arc::new(Shared::new(config.max_memo));
        let follower = Follower {
            config: config.clone(),
            headers: Arc::clone(&headers),
            fetcher: fetcher.clone(),
            floor,
            clock: Arc::clone(&clock),
            shared: Arc::clone(&shared),
            final_block: None,
            linked: None,
            lineage: Default::default(),
            catch_up: 0,
            sweep: Default::default(),
        };
        let (stop, stopped) = watch::channel(false);
        let tasks = follower.start(stopped).await?;
        Ok(Self {
            rules: config.rules(),
            fetches: Semaphore::new(config.max_concurrent_fetches),
            shares: Shares::default(),
            config,
            fetcher,
            shared,
            headers,
            evidence,
            clock,
            waiting: Waiting::default(),
            prover,
            outbox: OnceLock::new(),
            stop,
            tasks: Mutex::new(tasks),
        })
    }

    /// Whether the contract allows `record`.
    ///
    /// # Errors
    /// Whenever there is no decision; an error never allows.
    pub async fn decide(&self, subject: Subject, record: &BootRecord) -> Result<Decided, BridgeError> {
        self.ask(subject, &Facts::Record(record.clone())).await
    }

    /// Whether the contract allows what `facts` describe: a whole record, or what version 1 of the interface knows.
    ///
    /// # Errors
    /// As [`Bridge::decide`].
    pub async fn ask(&self, subject: Subject, facts: &Facts) -> Result<Decided, BridgeError> {
        let snapshot = self.current()?;
        if let Some(decided) = self.warm(&snapshot, subject, facts) {
            return Ok(decided);
        }
        self.coalesced(subject, facts).await
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

    /// Starts to store the policy events of finalized blocks, from a block on or from the first one followed.
    pub fn audit(&self, store: ChainStore, from: Option<u64>) -> Audit {
        Audit::start(AuditParts {
            headers: Arc::clone(&self.headers),
            evidence: Arc::clone(&self.evidence),
            chain: self.changes(),
            store,
            from,
        })
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
    pub(crate) fn current(&self) -> Result<Snapshot, BridgeError> {
        let published = self.shared.published.borrow().clone();
        // C6: a chain that contradicts itself or is another one decides nothing, however fresh the last head.
        if let Some(
            failure @ (BridgeError::Disagreement { .. }
            | BridgeError::Split { .. }
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
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            task.abort();
        }
    }
}

pub(crate) fn contract_fault(view: &View, fault: PolicyError) -> BridgeError {
    BridgeError::Contract {
        block: view.block.block_ref(),
        fault: Box::new(fault),
    }
}
