//! What k of n chains agree on, without I/O. Refused: a block that fewer have at its height, and a finalized block that
//! fewer call final or that is no ancestor of the agreed head.

use super::tree::{Path, at};
use alloy::primitives::B256;
use authority_policy::ProvenHeader;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// One endpoint's chain and the height it calls final.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) index: usize,
    pub(crate) path: Path,
    pub(crate) finalized: Option<u64>,
}

impl View {
    fn has(&self, block: &ProvenHeader) -> bool {
        at(&self.path, block.number()).is_some_and(|own| own.hash() == block.hash())
    }

    /// Whether this chain and the one of `path` are the same as far as both go.
    pub(crate) fn follows(&self, path: &Path) -> bool {
        let (Some(own), Some(agreed)) = (self.path.first(), path.first()) else {
            return false;
        };
        match own.number() < agreed.number() {
            true => at(path, own.number()).is_some_and(|block| block.hash() == own.hash()),
            false => self.has(agreed),
        }
    }
}

/// Hashes that differ at one height, with the endpoint that says each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) height: u64,
    pub(crate) views: Vec<(usize, B256)>,
}

/// The highest block that is on `needed` chains.
// C2: what fewer say, one provider or a minority, is not the chain.
pub(crate) fn head(views: &[View], needed: usize) -> Option<Arc<ProvenHeader>> {
    let mut counts: HashMap<B256, usize> = HashMap::new();
    let mut best: Option<&Arc<ProvenHeader>> = None;
    for header in views.iter().flat_map(|view| &view.path) {
        let count = counts.entry(header.hash()).or_default();
        *count += 1;
        if *count >= needed && best.is_none_or(|best| best.number() < header.number()) {
            best = Some(header);
        }
    }
    best.map(Arc::clone)
}

/// The highest block of `path` that `needed` endpoints have on their chains and call final.
// C2: a finalized block that is invented, or final for fewer, is not acted on.
pub(crate) fn finalized(views: &[View], path: &Path, needed: usize) -> Option<Arc<ProvenHeader>> {
    let says = |view: &&View, block: &ProvenHeader| {
        view.finalized.is_some_and(|number| number >= block.number()) && view.has(block)
    };
    let agreed = |block: &&Arc<ProvenHeader>| views.iter().filter(|view| says(view, block)).count() >= needed;
    path.iter().find(agreed).map(Arc::clone)
}

/// Claims of a finalized height that are high enough for `needed` endpoints, highest first.
pub(crate) fn candidates(views: &[View], needed: usize) -> Vec<u64> {
    let mut claims: Vec<u64> = views.iter().filter_map(|view| view.finalized).collect();
    claims.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
    claims.split_off(claims.len().min(needed.saturating_sub(1)))
}

/// The lowest height above `above` at which chains differ.
pub(crate) fn conflict(views: &[View], above: Option<u64>) -> Option<Conflict> {
    // Only blocks that are there are looked at: heights are claims, and may lie anywhere.
    let mut heights: BTreeMap<u64, Vec<(usize, B256)>> = BTreeMap::new();
    for view in views {
        let newer = |block: &&Arc<ProvenHeader>| above.is_none_or(|above| block.number() > above);
        for block in view.path.iter().take_while(newer) {
            heights
                .entry(block.number())
                .or_default()
                .push((view.index, block.hash()));
        }
    }
    heights.into_iter().find_map(|(height, views)| {
        let (_, one) = views.first()?;
        let differ = views.iter().any(|(_, hash)| hash != one);
        differ.then_some(Conflict { height, views })
    })
}
