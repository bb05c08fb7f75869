//! The one task that follows the chain: asks for head and finalized block, refuses what contradicts what was final,
//! carries the proven state over, and publishes. Everything it publishes is proven; it never publishes an older
//! finalized block than the floor.

use crate::{
    BridgeConfig, BridgeError, ChainStatus, Clock, EndpointStatus, HeaderSource, HeightFloor,
    cold::{Call, Fetcher},
    lineage::Lineage,
    memo::Memo,
    rpc::{Announced, Announcements, Announcer, Credit, announce},
    snapshot::{Published, Snapshot, View},
    upkeep::{Sweep, Upkeep},
};
use authority_contracts::question;
use authority_policy::{ProvenHeader, ProvenState, Tracked, network_state};
use kms_types::BlockRef;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

/// Pause before asking again for a head that was announced and not served yet, and how often that is done.
const CATCH_UP: Duration = Duration::from_millis(50);
const MAX_CATCH_UP: u32 = 20;

/// What the follower shares with the bridge.
pub(crate) struct Shared {
    pub(crate) published: watch::Sender<Published>,
    pub(crate) status: watch::Sender<ChainStatus>,
    pub(crate) memo: Memo,
    pub(crate) upkeep: Upkeep,
}

impl Shared {
    pub(crate) fn new(max_memo: usize) -> Self {
        Self {
            published: watch::Sender::default(),
            status: watch::Sender::default(),
            memo: Memo::new(max_memo),
            upkeep: Upkeep::default(),
        }
    }
}

pub(crate) struct Follower {
    pub(crate) config: BridgeConfig,
    pub(crate) headers: Arc<dyn HeaderSource>,
    pub(crate) fetcher: Fetcher,
    pub(crate) floor: Arc<dyn HeightFloor>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    /// Newest finalized block acted on, here or before a restart.
    pub(crate) final_block: Option<BlockRef>,
    /// Newest block linked to that one on the way to a finalized block far after it.
    pub(crate) linked: Option<BlockRef>,
    pub(crate) lineage: Lineage,
    /// Steps taken since the last head for one that was announced and not served.
    pub(crate) catch_up: u32,
    pub(crate) sweep: Sweep,
}

impl Follower {
    /// Takes the first step and leaves the rest to a task.
    pub(crate) async fn start(
        mut self,
        stop: watch::Receiver<bool>,
    ) -> Result<Vec<JoinHandle<()>>, BridgeError> {
        self.final_block = self.floor.load().await?;
        let first = self.step().await;
        if let Err(
            error @ (BridgeError::WrongChain { .. }
            | BridgeError::Disagreement { .. }
            | BridgeError::Floor(_)),
        ) = first
        {
            return Err(error);
        }
        self.report(first);
        let (heads, announced) = watch::channel(Announcements::new(self.config.endpoints.len()));
        let mut tasks = Vec::new();
        for (index, endpoint) in self.config.endpoints.iter().enumerate() {
            if let Some(url) = endpoint.ws.clone() {
                let announcer = Announcer::new(&heads, index);
                tasks.push(tokio::spawn(announce(
                    url,
                    self.config.request_timeout,
                    announcer,
                )));
            }
        }
        tasks.push(tokio::spawn(self.run(announced, stop)));
        Ok(tasks)
    }

    async fn run(mut self, mut heads: watch::Receiver<Announcements>, mut stop: watch::Receiver<bool>) {
        let _ended = Ended(Arc::clone(&self.shared));
        let mut credit = Credit::new(self.config.endpoints.len());
        loop {
            let newest = self.lineage.newest();
            let now = heads.borrow_and_update().clone();
            self.note_subscriptions(&now);
            let end = Instant::now() + self.pause(&now);
            let mut is_worth = credit.spend(&now);
            while !is_worth {
                tokio::select! {
                    () = tokio::time::sleep_until(end) => break,
                    Ok(()) = heads.changed() => {
                        let now = heads.borrow_and_update().clone();
                        self.note_subscriptions(&now);
                        is_worth = credit.spend(&now);
                    }
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
            let result = tokio::select! {
                result = self.step() => result,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if self.report(result) {
                return;
            }
            if self.lineage.newest() != newest {
                credit.renew();
                self.catch_up = 0;
            }
        }
    }

    fn note_subscriptions(&self, now: &Announcements) {
        let subscribed = self.is_announced(now);
        self.shared.status.send_if_modified(|status| {
            let mut changed = std::mem::replace(&mut status.subscribed, subscribed) != subscribed;
            for (endpoint, said) in status.endpoints.iter_mut().zip(now.all()) {
                changed |= std::mem::replace(&mut endpoint.subscribed, said.subscribed) != said.subscribed;
            }
            changed
        });
    }

    /// Whether so many announce that an honest endpoint is among them, as long as those that must agree are honest.
    fn is_announced(&self, now: &Announcements) -> bool {
        let (count, needed) = (self.config.endpoints.len(), self.config.needed());
        now.subscribed() > count.saturating_sub(needed)
    }

    /// Until the next step: an announced head may not be served yet; announced heads need no close polling.
    fn pause(&mut self, heads: &Announcements) -> Duration {
        let ahead = |said: &Announced| said.subscribed && said.number > self.lineage.height();
        // The height is a claim, so it is not waited for without end.
        if self.catch_up < MAX_CATCH_UP && heads.all().iter().any(ahead) {
            self.catch_up += 1;
            return CATCH_UP;
        }
        match self.is_announced(heads) {
            true => self.config.poll_interval.saturating_mul(5),
            false => self.config.poll_interval,
        }
    }

    /// Publishes how a step went; true when following must stop for good.
    fn report(&self, result: Result<(), BridgeError>) -> bool {
        let failure = result.err();
        let halted = matches!(failure, Some(BridgeError::Disagreement { .. }));
        if let Some(error) = &failure {
            tracing::warn!(%error, halted, "the chain could not be followed");
        }
        let text = failure.as_ref().map(ToString::to_string);
        let (endpoints, floor) = (self.endpoints(text.as_deref()), self.floor.degraded());
        self.shared
            .published
            .send_modify(|published| published.failure = failure);
        self.shared.status.send_if_modified(|status| {
            let changed = status.connected != text.is_none()
                || status.last_error != text
                || status.floor_degraded != floor;
            status.floor_degraded = floor;
            status.connected = text.is_none();
            status.halted = halted;
            status.last_error = text;
            status.note(endpoints) || changed
        });
        halted
    }

    /// What is known of each endpoint; a single one is as the last step went.
    fn endpoints(&self, failure: Option<&str>) -> Vec<EndpointStatus> {
        let several = self.headers.endpoints();
        if !several.is_empty() {
            return several;
        }
        let head = self.shared.status.borrow().head.map(|head| head.block_ref());
        vec![EndpointStatus {
            name: self.headers.name().to_owned(),
            head,
            finalized: self.final_block,
            agrees: failure.is_none(),
            healthy: failure.is_none(),
            proves: failure.is_none(),
            last_error: failure.map(str::to_owned),
            ..EndpointStatus::default()
        }]
    }

    async fn step(&mut self) -> Result<(), BridgeError> {
        let tip = self.headers.tip().await?;
        self.check_clock(&tip.head)?;
        let finalized = self.not_older(tip.finalized).await?;
        if tip.head.number() < finalized.number() {
            let text = format!(
                "head {} is older than finalized block {}",
                tip.head.number(),
                finalized.number()
            );
            return Err(BridgeError::unavailable(text));
        }
        let old = self.shared.published.borrow().snapshot.clone();
        let unchanged =
            |old: &Snapshot| old.head.hash() == tip.head.hash() && old.finalized.hash() == finalized.hash();
        if old.as_ref().is_some_and(unchanged) {
            return Ok(());
        }
        self.lineage.follow(&tip.head, &finalized, &*self.headers).await?;
        self.keep_final(&finalized).await?;
        let snapshot = self.snapshot(old.as_ref(), tip.head.clone(), finalized).await?;
        self.shared
            .upkeep
            .tidy(&snapshot, &self.shared.memo, &mut self.sweep);
        let depth = self.lineage.take_removed();
        self.publish(snapshot, depth);
        Ok(())
    }

    // C5: a head from the future would make every later head look stale, or hide that the clock is wrong.
    fn check_clock(&self, head: &ProvenHeader) -> Result<(), BridgeError> {
        let (now, time, limit_s) = (self.clock.now(), head.timestamp(), self.config.max_clock_skew_s);
        if time.0 > now.0.saturating_add(limit_s) {
            let head = head.block().block_ref();
            return Err(BridgeError::Clock {
                head,
                time,
                now,
                limit_s,
            });
        }
        Ok(())
    }

    /// Head and finalized block with everything decisions need proven at both.
    async fn snapshot(
        &mut self,
        old: Option<&Snapshot>,
        head: ProvenHeader,
        finalized: ProvenHeader,
    ) -> Result<Snapshot, BridgeError> {
        let fresh = self.shared.upkeep.take_fresh();
        let known = old.map(|old| [&old.head, &old.finalized]);
        let views = tokio::try_join!(
            self.view(known, old.map(|old| &old.head), head, &fresh),
            self.view(known, old.map(|old| &old.finalized), finalized, &fresh),
        );
        match views {
            Ok(((head, asked), (finalized, _))) => {
                self.sweep.asked(asked);
                Ok(Snapshot { head, finalized })
            }
            Err(error) => {
                self.shared.upkeep.return_fresh(fresh);
                Err(error)
            }
        }
    }

    /// The view of a block, and how many proofs it took.
    async fn view(
        &self,
        known: Option<[&Arc<View>; 2]>,
        before: Option<&Arc<View>>,
        header: ProvenHeader,
        fresh: &Tracked,
    ) -> Result<(Arc<View>, usize), BridgeError> {
        let mut known = known.into_iter().flatten();
        let same = known.find(|view| view.hash() == header.hash()).map(Arc::clone);
        let upkeep = &self.shared.upkeep;
        let state = match &same {
            Some(view) => view.state.clone(),
            None => ProvenState::new(header, Arc::clone(upkeep.nodes())),
        };
        let carried = match before {
            Some(before) => {
                let busy = self.sweep.busy();
                upkeep
                    .carry(&self.fetcher, &before.state, &state, fresh, busy)
                    .await
            }
            None => Ok(0),
        };
        if let Some(view) = same {
            return Ok((view, self.or_forgotten(carried)));
        }
        let (contract, rules) = (self.config.contract, self.config.rules());
        let call = Call {
            contract: self.config.contract(),
            data: question::network_state().into(),
            ask: move |state: &ProvenState| network_state(state, &rules, contract),
        };
        let (network, network_reads) = match self.fetcher.complete(&state, &call).await? {
            Ok(outcome) => (Ok(outcome.value), outcome.reads),
            Err(fault) => (Err(fault), Default::default()),
        };
        let asked = self.or_forgotten(carried);
        upkeep.note(&network_reads);
        let view = View {
            block: state.header().block(),
            state,
            network,
            network_reads,
        };
        Ok((Arc::new(view), asked))
    }

    // C6: what some app's decisions read may be too much for endpoints to prove. That must not hold up the head, on which
    // every other app's decisions rest; whoever asks for it again pays for it again.
    fn or_forgotten(&self, carried: Result<usize, BridgeError>) -> usize {
        carried.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was proven is not carried over to the next block");
            self.shared.upkeep.forget();
            0
        })
    }

    fn publish(&self, snapshot: Snapshot, depth: u64) {
        let (head, finalized) = (snapshot.head.block, snapshot.finalized.block);
        let proven = self.shared.upkeep.size();
        tracing::debug!(head = %head.block_ref(), finalized = %finalized.block_ref(), accounts = proven.0, slots = proven.1, "head");
        if depth > 0 {
            tracing::warn!(head = %head.block_ref(), depth, "blocks were removed; decisions made over them are void");
        }
        self.shared.published.send_modify(|published| {
            published.snapshot = Some(snapshot);
            published.failure = None;
        });
        self.shared.status.send_modify(|status| {
            status.head = Some(head);
            status.finalized = Some(finalized);
            status.connected = true;
            status.last_error = None;
            status.proven = proven;
            status.reorgs += u64::from(depth > 0);
            status.deepest_reorg = status.deepest_reorg.max(depth);
        });
    }
}

/// Says so when the task ends, whatever ended it; decisions go on until the head is too old.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.published.send_modify(|published| {
            published
                .failure
                .get_or_insert_with(|| BridgeError::unavailable("no longer following the chain"));
        });
        self.0.status.send_modify(|status| {
            status.connected = false;
            status
                .last_error
                .get_or_insert_with(|| "no longer following the chain".to_owned());
        });
    }
}
