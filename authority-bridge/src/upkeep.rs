//! What stays proven from block to block: everything the remembered decisions read, within a bound. A decision about it
//! needs no request at the next block, and a block costs what changed in it.

use crate::{
    BridgeError, Want,
    cold::Fetcher,
    memo::Memo,
    snapshot::{Snapshot, View},
};
use alloy::primitives::B256;
use authority_policy::{Ask, ProvenState, Reads, Tracked, TrieNodes};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Most accounts and slots kept proven; beyond that only what was asked for last.
const MAX_TRACKED: (usize, usize) = (4096, 32_768);
/// Nodes the store may grow by before it is swept, beside a quarter of what the sweep before left.
const SLACK: usize = 4096;
/// State roots a sweep walks from: each costs a walk to everything that is tracked.
const MAX_ROOTS: usize = 16;
/// Contracts the store may grow by before it is swept; each has up to 24 KiB.
const CODE_SLACK: usize = 256;
/// Requests above which the next block is expected to have changed as much.
const MANY: usize = 48;
/// Rounds of asking at one block: a path has at most 64 nodes.
const MAX_ROUNDS: usize = 130;

/// What must stay proven.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    nodes: Arc<TrieNodes>,
    tracked: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    all: Tracked,
    /// Those that came since the last step, and may not be proven at the block it made.
    fresh: Tracked,
}

/// What the follower remembers of the sweep before.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Newest state roots from the finalized block to the head.
    roots: VecDeque<(u64, B256)>,
    nodes_after: usize,
    codes_after: usize,
    /// Whether the last block took many requests.
    busy: bool,
}

impl Upkeep {
    /// Where every block's proofs are.
    pub(crate) const fn nodes(&self) -> &Arc<TrieNodes> {
        &self.nodes
    }

    /// Takes what a decision read.
    pub(crate) fn note(&self, reads: &Reads) {
        let mut keys = self.keys();
        if keys.all.note(reads) {
            keys.fresh.note(reads);
        }
    }

    /// Accounts and slots kept proven.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.keys().all.size()
    }

    /// Keys noted since the last call.
    pub(crate) fn take_fresh(&self) -> Tracked {
        std::mem::take(&mut self.keys().fresh)
    }

    /// Gives back what could not be proven.
    pub(crate) fn return_fresh(&self, fresh: Tracked) {
        self.keys().fresh.merge(fresh);
    }

    /// Forgets everything that was tracked; decisions find it again when they are asked for.
    pub(crate) fn forget(&self) {
        *self.keys() = Keys::default();
    }

    /// Forgets what the remembered decisions do not need: their number changes, and the store grows with every block.
    pub(crate) fn tidy(&self, snapshot: &Snapshot, memo: &Memo, sweep: &mut Sweep) {
        let (accounts, slots) = self.size();
        if accounts > MAX_TRACKED.0 || slots > MAX_TRACKED.1 {
            self.rebuild(snapshot, memo);
        }
        let (head, finalized) = (&snapshot.head, &snapshot.finalized);
        let root = |view: &View| view.state.header().state_root();
        sweep
            .roots
            .retain(|(number, _)| *number >= finalized.block.number);
        sweep.roots.push_back((finalized.block.number, root(finalized)));
        sweep.roots.push_back((head.block.number, root(head)));
        while sweep.roots.len() > MAX_ROOTS {
            sweep.roots.pop_front();
        }
        let (nodes, codes) = self.nodes.len();
        let grew = nodes > sweep.nodes_after.saturating_add(sweep.nodes_after / 4 + SLACK);
        if grew || codes > sweep.codes_after.saturating_add(CODE_SLACK) {
            let roots = sweep.roots.iter().map(|(_, root)| *root);
            self.keys().all.sweep(&self.nodes, roots);
            (sweep.nodes_after, sweep.codes_after) = self.nodes.len();
        }
    }

    /// Tracks what the network's state and the decisions asked for last have read, up to half the bound.
    pub(crate) fn rebuild(&self, snapshot: &Snapshot, memo: &Memo) {
        let mut all = Tracked::default();
        all.note(&snapshot.head.network_reads);
        all.note(&snapshot.finalized.network_reads);
        memo.recent(|reads| {
            all.note(reads);
            let (accounts, slots) = all.size();
            accounts < MAX_TRACKED.0 / 2 && slots < MAX_TRACKED.1 / 2
        });
        self.keys().all = all;
    }

    /// Proves at `next` everything that is tracked, given a state in which it was.
    pub(crate) async fn carry(
        &self,
        fetcher: &Fetcher,
        old: &ProvenState,
        next: &ProvenState,
        fresh: &Tracked,
        busy: bool,
    ) -> Result<usize, BridgeError> {
        let (mut asked, mut ask) = (0, if busy { Ask::EachChild } else { Ask::One });
        for round in 0..MAX_ROUNDS {
            let mut gaps = self.keys().all.gaps(Some(old), next, ask);
            gaps.extend(fresh.gaps(None, next, ask));
            if gaps.is_empty() {
                return Ok(asked);
            }
            let wants: Vec<Want> = gaps.into_iter().map(Want::from).collect();
            asked += wants.iter().map(|want| want.slots.len().max(1)).sum::<usize>();
            fetcher.prove(next, &wants).await?;
            // A deep trie with many changes is not worth a round trip for each of its levels.
            if round > 2 || asked > MANY {
                ask = Ask::EachChild;
            }
        }
        Err(BridgeError::TooMuch {
            what: "rounds of proving a block",
            limit: MAX_ROUNDS,
        })
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sweep {
    /// Whether the next block is expected to take many requests.
    pub(crate) const fn busy(&self) -> bool {
        self.busy
    }
    /// Takes how many requests a block took.
    pub(crate) const fn asked(&mut self, requests: usize) {
        self.busy = requests > MANY;
    }
}
