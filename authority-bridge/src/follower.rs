//! The one task that follows the chain: asks for head and finalized block, refuses what contradicts what was final,
//! carries the proven state over, and publishes. Everything it publishes is proven; it never publishes an older
//! finalized block than the floor.

use crate::{
    BridgeConfig, BridgeError, ChainStatus, Clock, HeaderSource, HeightFloor,
    cold::{Call, Completed, Fetcher},
    memo::{Memo, note},
    rpc::{Announcements, announce},
    snapshot::{Published, Snapshot, View},
};
use alloy::primitives::B256;
use authority_contracts::question;
use authority_policy::{ProvenHeader, ProvenState, network_state};
use kms_types::{BlockHash, BlockRef};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// Heads remembered to measure a reorganisation.
const RECENT: usize = 128;
/// Headers walked back to link one finalized block to the one before; beyond that the old height is asked for.
const MAX_LINKS: u64 = 255;
/// Steps after which unused state is forgotten, and how often that is looked at.
const UNUSED_STEPS: u64 = 512;
const EXPIRE_EVERY: u64 = 64;
/// Pause before asking again for a head that was announced and not served yet.
const CATCH_UP: Duration = Duration::from_millis(50);

/// What the follower shares with the bridge.
pub(crate) struct Shared {
    pub(crate) published: watch::Sender<Published>,
    pub(crate) status: watch::Sender<ChainStatus>,
    pub(crate) memo: Memo,
}

impl Shared {
    pub(crate) fn new(max_memo: usize) -> Self {
        Self {
            published: watch::Sender::default(),
            status: watch::Sender::default(),
            memo: Memo::new(max_memo),
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
    pub(crate) recent: VecDeque<(u64, B256)>,
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
        let (heads, announced) = watch::channel(Announcements::default());
        let mut tasks = Vec::new();
        if let Some(url) = self.config.ws.clone() {
            tasks.push(tokio::spawn(announce(url, self.config.request_timeout, heads)));
        }
        tasks.push(tokio::spawn(self.run(announced, stop)));
        Ok(tasks)
    }

    async fn run(mut self, mut heads: watch::Receiver<Announcements>, mut stop: watch::Receiver<bool>) {
        loop {
            let pause = self.pause(*heads.borrow_and_update());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Ok(()) = heads.changed() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let subscribed = heads.borrow().subscribed;
            self.shared.status.send_if_modified(|status| {
                std::mem::replace(&mut status.subscribed, subscribed) != subscribed
            });
            let result = tokio::select! {
                result = self.step() => result,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if self.report(result) {
                return;
            }
        }
    }

    /// Until the next step: an announced head may not be served yet; announced heads need no close polling.
    fn pause(&self, heads: Announcements) -> Duration {
        let known = self.recent.back().map_or(0, |(number, _)| *number);
        match heads.subscribed {
            true if heads.number > known && heads.number - known < RECENT as u64 => CATCH_UP,
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
        self.shared
            .published
            .send_modify(|published| published.failure = failure);
        self.shared.status.send_if_modified(|status| {
            let changed = status.connected != text.is_none() || status.last_error != text;
            status.connected = text.is_none();
            status.halted = halted;
            status.last_error = text;
            changed
        });
        halted
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
        let (head, finalized) = tokio::try_join!(
            self.view(
                old.as_ref().map(|old| [&old.head, &old.finalized]),
                tip.head.clone()
            ),
            self.view(old.as_ref().map(|old| [&old.finalized, &old.head]), finalized),
        )?;
        let depth = self.reorg_depth(&tip.head).await;
        self.forget_unused(&head, &finalized);
        self.publish(Snapshot { head, finalized }, depth);
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

    /// The finalized block to act on: the claimed one, or the one before when the claimed one is older. The floor is
    /// raised before anything is decided over a newer block.
    async fn not_older(&mut self, claimed: ProvenHeader) -> Result<ProvenHeader, BridgeError> {
        let reference = claimed.block().block_ref();
        if let Some(known) = self.final_block {
            // C5: monotonic, across restarts.
            if reference.number < known.number {
                return self.still_final(known, reference).await;
            }
            self.descends(&claimed, known).await?;
            if reference == known {
                return Ok(claimed);
            }
        }
        self.floor.raise(reference).await?;
        self.final_block = Some(reference);
        Ok(claimed)
    }

    async fn still_final(&self, known: BlockRef, claimed: BlockRef) -> Result<ProvenHeader, BridgeError> {
        let published = self.shared.published.borrow().snapshot.clone();
        if let Some(snapshot) = published {
            return Ok(snapshot.finalized.state().header().clone());
        }
        let header = self.headers.by_hash(B256::new(known.hash.to_bytes())).await?;
        header.ok_or_else(|| {
            let text = "its finalized block is older than one acted on before, which it does not know";
            BridgeError::unavailable(format!("{}: {text}: {claimed} < {known}", self.headers.name()))
        })
    }

    // C7: a reorganisation below a final block means that finality failed or the provider changed chains.
    async fn descends(&self, claimed: &ProvenHeader, known: BlockRef) -> Result<(), BridgeError> {
        let expected = B256::new(known.hash.to_bytes());
        let gap = claimed.number().saturating_sub(known.number);
        let found = match gap {
            0 => claimed.hash(),
            1 => claimed.parent_hash(),
            _ => {
                let to = if gap <= MAX_LINKS {
                    claimed.number()
                } else {
                    known.number
                };
                let headers = self.headers.range(known.number, to).await?;
                let linked = headers.windows(2).all(|pair| match pair {
                    [older, newer] => newer.parent_hash() == older.hash(),
                    _ => true,
                });
                let ends =
                    gap > MAX_LINKS || headers.last().is_some_and(|last| last.hash() == claimed.hash());
                match headers.first() {
                    Some(first) if linked && ends => first.hash(),
                    _ => return Err(self.unlinked(claimed)),
                }
            }
        };
        if found != expected {
            return Err(BridgeError::Disagreement {
                endpoint: self.headers.name().to_owned(),
                number: known.number,
                expected: expected.to_string(),
                actual: found.to_string(),
            });
        }
        Ok(())
    }

    fn unlinked(&self, claimed: &ProvenHeader) -> BridgeError {
        BridgeError::Endpoint {
            endpoint: self.headers.name().to_owned(),
            field: "eth_getBlockByNumber",
            detail: format!("blocks do not link to finalized block {}", claimed.hash()),
        }
    }

    /// The view of a block: one there already is, or the nearest one carried over.
    async fn view(
        &self,
        known: Option<[&Arc<View>; 2]>,
        header: ProvenHeader,
    ) -> Result<Arc<View>, BridgeError> {
        let mut basis = None;
        if let Some(known) = known {
            if let Some(same) = known.iter().find(|view| view.hash() == header.hash()) {
                return Ok(Arc::clone(same));
            }
            let same_state = known
                .iter()
                .find(|view| view.block.state_root == BlockHash::new(header.state_root().0));
            basis = same_state.or(known.first()).copied();
        }
        let state = match basis {
            Some(view) => self.fetcher.advance(&view.state(), header).await?,
            None => ProvenState::new(header),
        };
        let (contract, rules) = (self.config.contract, self.config.rules());
        let call = Call {
            contract: self.config.contract(),
            data: question::network_state().into(),
            ask: move |state: &ProvenState| network_state(state, &rules, contract),
        };
        let Completed { state, answer } = self.fetcher.complete(Arc::new(state), &call).await?;
        let (network, reads) = match answer {
            Ok(outcome) => (Ok(outcome.value), outcome.reads),
            Err(fault) => (Err(fault), Default::default()),
        };
        Ok(Arc::new(View::new(state, network, reads)))
    }

    /// How many blocks known here the new head removed. Verdicts of removed blocks are void in any case, because they
    /// are kept by block hash; this only tells people.
    async fn reorg_depth(&mut self, head: &ProvenHeader) -> u64 {
        let Some((last, _)) = self.recent.back().copied() else {
            self.recent.push_back((head.number(), head.hash()));
            return 0;
        };
        let mut path = vec![(head.number(), head.hash())];
        let mut parent = (head.number().saturating_sub(1), head.parent_hash());
        let mut depth = 0;
        while path.len() < RECENT {
            while self.recent.back().is_some_and(|(number, _)| *number > parent.0) {
                self.recent.pop_back();
            }
            match self.recent.back() {
                Some(known) if *known == parent => {
                    depth = last.saturating_sub(parent.0);
                    break;
                }
                None => break,
                Some(_) => {}
            }
            let Ok(Some(header)) = self.headers.by_hash(parent.1).await else {
                break;
            };
            path.push(parent);
            parent = (header.number().saturating_sub(1), header.parent_hash());
        }
        self.recent.extend(path.into_iter().rev());
        while self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        depth
    }

    fn forget_unused(&self, head: &View, finalized: &View) {
        if !self.shared.memo.step().is_multiple_of(EXPIRE_EVERY) {
            return;
        }
        let mut keep = self.shared.memo.expire(UNUSED_STEPS);
        note(&mut keep, &head.network_reads);
        note(&mut keep, &finalized.network_reads);
        head.retain(&keep);
        finalized.retain(&keep);
    }

    fn publish(&self, snapshot: Snapshot, depth: u64) {
        let (head, finalized) = (snapshot.head.block, snapshot.finalized.block);
        let proven = snapshot.head.state().size();
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
