//! Files decisions with their evidence, apart from the path that makes them: a decision is handed over without waiting, and
//! when there is no room it is counted and not filed. Refused: waiting for the database, and filing one decision twice.

use crate::{
    Bridge, Clock,
    evidence::{Made, Prover},
    store::{ChainStore, Recorded, Retention, app_of, explained},
};
use authority_policy::{DecisionEvidence, Subject, Verdict};
use kms_types::{BlockHash, UnixTime};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

/// Decisions that wait to be proven.
const QUEUE: usize = 1024;
/// Decisions of one transaction.
const BATCH: usize = 64;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(250);
/// How often heads are looked up and old decisions thrown away.
const TIDY: Duration = Duration::from_secs(10);

/// How decisions are filed.
#[derive(Debug, Clone, Copy)]
pub struct RecorderConfig {
    /// What is kept.
    pub keep: Retention,
    /// Least time between two decisions about the same KMS node with the same verdict: a node asks about itself at every
    /// block.
    pub kms_every_s: u64,
    /// Longest evidence that is kept, in bytes; a decision whose evidence is longer is filed without it.
    pub max_evidence: usize,
}

/// What became of the decisions, counted since the start.
#[derive(Debug, Default)]
pub struct RecorderCounts {
    /// Filed.
    pub recorded: AtomicU64,
    /// Filed without evidence.
    pub without_evidence: AtomicU64,
    /// Not filed: more came than could be proven.
    pub overflow: AtomicU64,
    /// Not filed: the database failed.
    pub database: AtomicU64,
}

/// Where the bridge puts decisions.
pub(crate) struct Outbox {
    sender: mpsc::Sender<Made>,
    counts: Arc<RecorderCounts>,
}

impl Outbox {
    /// Hands a decision over; never waits.
    pub(crate) fn put(&self, made: Made) {
        if self.sender.try_send(made).is_err() {
            self.counts.overflow.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A recorder at work.
#[derive(Debug)]
pub struct Recorder {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    counts: Arc<RecorderCounts>,
}

impl Recorder {
    /// Files every decision `bridge` makes from now on. A second recorder of one bridge gets none.
    pub fn start(bridge: &Bridge, store: ChainStore, clock: Arc<dyn Clock>, config: RecorderConfig) -> Self {
        let counts = Arc::new(RecorderCounts::default());
        let (sender, made) = mpsc::channel(QUEUE);
        let outbox = Outbox {
            sender,
            counts: Arc::clone(&counts),
        };
        if bridge.outbox.set(outbox).is_err() {
            tracing::error!("decisions are filed already");
        }
        let worker = Worker {
            store,
            clock,
            config,
            prover: bridge.prover.clone(),
            counts: Arc::clone(&counts),
            last: HashMap::new(),
        };
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(worker.run(made, stopped));
        Self { task, stop, counts }
    }

    /// What became of the decisions.
    pub const fn counts(&self) -> &Arc<RecorderCounts> {
        &self.counts
    }

    /// Files what was handed over, and stops.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the recorder of decisions failed");
        }
    }
}

struct Worker {
    store: ChainStore,
    clock: Arc<dyn Clock>,
    config: RecorderConfig,
    prover: Prover,
    counts: Arc<RecorderCounts>,
    /// When a KMS node was last filed, and with which verdict.
    last: HashMap<BlockHash, (UnixTime, Verdict)>,
}

impl Worker {
    async fn run(mut self, mut made: mpsc::Receiver<Made>, mut stop: watch::Receiver<bool>) {
        let mut tidy = tokio::time::interval(TIDY);
        loop {
            let next = tokio::select! {
                first = made.recv() => first.map(Some),
                _ = tidy.tick() => Some(None),
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match next {
                Some(Some(first)) => self.batch(first, &mut made).await,
                Some(None) => self.tidy().await,
                None => return,
            }
        }
        made.close();
        while let Some(first) = made.recv().await {
            self.batch(first, &mut made).await;
        }
    }

    /// Proves each decision as soon as it is taken, before its state is forgotten; files all of them at once.
    async fn batch(&mut self, first: Made, made: &mut mpsc::Receiver<Made>) {
        let until = Instant::now() + GATHER;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(made_one) = next {
            batch.extend(self.recorded(made_one).await);
            if batch.len() >= BATCH {
                break;
            }
            next = tokio::time::timeout_at(until, made.recv()).await.ok().flatten();
        }
        if batch.is_empty() {
            return;
        }
        match self.store.record(&batch).await {
            Ok(new) => {
                self.counts.recorded.fetch_add(new, Ordering::Relaxed);
            }
            Err(error) => {
                self.counts
                    .database
                    .fetch_add(batch.len() as u64, Ordering::Relaxed);
                tracing::error!(
                    error = explained(&error),
                    count = batch.len(),
                    "decisions are not filed"
                );
            }
        }
    }

    async fn recorded(&mut self, made: Made) -> Option<Recorded> {
        let time = self.clock.now();
        if self.seen(&made, time) {
            return None;
        }
        let (subject, app_id, decided) = (made.subject, app_of(&made.facts), made.decided.clone());
        // C6: how much an app's contract reads is its owner's choice, and the disk is ours.
        let fits = |evidence: DecisionEvidence| match evidence.size() {
            size if size <= self.config.max_evidence => Ok(evidence),
            size => {
                let most = self.config.max_evidence;
                Err(format!("evidence: expected at most {most} bytes, got {size}"))
            }
        };
        let proven = self.prover.prove(made).await.map_err(|error| error.to_string());
        let evidence = proven.and_then(fits).inspect_err(|why| {
            self.counts.without_evidence.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(why, head = %decided.head.block_ref(), "no evidence of a decision");
        });
        Some(Recorded {
            subject,
            app_id,
            decided,
            time,
            evidence,
        })
    }

    fn seen(&mut self, made: &Made, now: UnixTime) -> bool {
        if made.subject != Subject::Kms {
            return false;
        }
        let limit = self.config.kms_every_s;
        let fresh = |at: &UnixTime| now.0.saturating_sub(at.0) < limit;
        let (hash, verdict) = (made.decided.record_hash, &made.decided.verdict);
        if self
            .last
            .get(&hash)
            .is_some_and(|(at, before)| before == verdict && fresh(at))
        {
            return true;
        }
        self.last.retain(|_, (at, _)| fresh(at));
        self.last.insert(hash, (now, verdict.clone()));
        false
    }

    async fn tidy(&self) {
        let done = async {
            self.store.settle_decisions().await?;
            self.store
                .prune_decisions(self.config.keep, self.clock.now())
                .await
        };
        if let Err(error) = done.await {
            tracing::warn!(error = explained(&error), "decisions are not tidied");
        }
    }
}
