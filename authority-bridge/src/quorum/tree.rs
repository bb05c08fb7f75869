//! Headers by their hash, each hashed here. A block commits to all its ancestors, so whoever fetched them, an endpoint's
//! chain is what its head leads to.

use alloy::primitives::B256;
use authority_policy::ProvenHeader;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Most blocks from a head down to the finalized block; beyond that a chain is not followed.
pub(crate) const MAX_DEPTH: u64 = 8192;

/// Most bytes of extra data in one endpoint's chain; blocks with signatures have some hundreds each.
pub(crate) const MAX_EXTRA: usize = 4 * 1024 * 1024;

/// A block and its ancestors as far as they are known, newest first.
pub(crate) type Path = Vec<Arc<ProvenHeader>>;

/// The block of a path at a height.
pub(crate) fn at(path: &Path, number: u64) -> Option<&Arc<ProvenHeader>> {
    let newest = path.first()?.number();
    path.get(usize::try_from(newest.checked_sub(number)?).ok()?)
}

/// Bytes of extra data in a path: the one field of a header that an endpoint can make long.
pub(crate) fn extra(path: &Path) -> usize {
    path.iter().map(|header| header.fields().extra_data.len()).sum()
}

/// Headers that some endpoint gave.
#[derive(Debug, Default)]
pub(crate) struct Tree(HashMap<B256, Arc<ProvenHeader>>, usize);

impl Tree {
    pub(crate) fn insert(&mut self, header: Arc<ProvenHeader>) -> Arc<ProvenHeader> {
        let extra = header.fields().extra_data.len();
        Arc::clone(self.0.entry(header.hash()).or_insert_with(|| {
            self.1 += extra;
            header
        }))
    }

    /// Bytes of extra data in all of them.
    pub(crate) const fn extra(&self) -> usize {
        self.1
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
    pub(crate) fn get(&self, hash: &B256) -> Option<&Arc<ProvenHeader>> {
        self.0.get(hash)
    }

    pub(crate) fn path(&self, head: &Arc<ProvenHeader>) -> Path {
        let (mut path, mut next) = (Vec::new(), Some(head));
        while let Some(header) = next.filter(|_| path.len() as u64 <= MAX_DEPTH) {
            path.push(Arc::clone(header));
            // A header may name a parent of any height; only the height before makes a chain.
            let parent = self.0.get(&header.parent_hash());
            next = parent.filter(|parent| parent.number().checked_add(1) == Some(header.number()));
        }
        path
    }

    /// Forgets what no head leads to and what lies below `lowest`.
    pub(crate) fn prune<'a>(&mut self, heads: impl Iterator<Item = &'a Arc<ProvenHeader>>, lowest: u64) {
        let mut kept = HashSet::new();
        for head in heads {
            for header in self.path(head) {
                if header.number() < lowest || !kept.insert(header.hash()) {
                    break;
                }
            }
        }
        self.0.retain(|hash, _| kept.contains(hash));
        self.1 = self
            .0
            .values()
            .map(|header| header.fields().extra_data.len())
            .sum();
    }
}
