//! The chain from before the finalized block to the head, each header the parent of the next: it tells how many blocks a new
//! head removed. Refused: a head that does not descend from the finalized block. Verdicts are kept by block hash, so those of removed blocks are void in any case.

use crate::{BridgeError, HeaderSource};
use alloy::primitives::B256;
use authority_policy::ProvenHeader;
use std::{collections::VecDeque, sync::Arc};

/// Headers kept before the finalized block.
const BEFORE: u64 = 128;
/// Most headers from the finalized block to the head.
const MAX_LENGTH: u64 = 8192;
/// Headers fetched at once where a new head is not the child of the last.
const NEAR: u64 = 16;

/// Headers, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    headers: VecDeque<Arc<ProvenHeader>>,
    /// Most blocks a head removed since that was last told.
    removed: u64,
}

impl Lineage {
    /// Height of the newest head.
    pub(crate) fn height(&self) -> u64 {
        self.headers.back().map_or(0, |head| head.number())
    }

    /// The newest head.
    pub(crate) fn newest(&self) -> Option<B256> {
        self.headers.back().map(|head| head.hash())
    }

    fn at(&self, number: u64) -> Option<&Arc<ProvenHeader>> {
        let oldest = self.headers.front()?.number();
        self.headers
            .get(usize::try_from(number.checked_sub(oldest)?).ok()?)
    }

    fn has(&self, number: u64, hash: B256) -> bool {
        self.at(number).is_some_and(|header| header.hash() == hash)
    }

    /// Takes a new head.
    pub(crate) async fn follow(
        &mut self,
        head: &ProvenHeader,
        finalized: &ProvenHeader,
        headers: &dyn HeaderSource,
    ) -> Result<(), BridgeError> {
        let length = head.number().saturating_sub(finalized.number());
        if length > MAX_LENGTH {
            let text = format!(
                "head {} is {length} blocks after the finalized one",
                head.block().block_ref()
            );
            return Err(BridgeError::unavailable(format!(
                "{text}; at most {MAX_LENGTH} are followed"
            )));
        }
        let last = self.height();
        // Newest first, down to one whose parent is here, or to the finalized block.
        let mut path = vec![Arc::new(head.clone())];
        let mut step = NEAR;
        let attached = loop {
            let Some(lowest) = path.last() else { break None };
            if self.has(lowest.number(), lowest.hash()) {
                break path.pop().map(|known| known.number());
            }
            let parent = lowest.number().checked_sub(1);
            if let Some(parent) = parent.filter(|parent| self.has(*parent, lowest.parent_hash())) {
                break Some(parent);
            }
            if lowest.number() <= finalized.number() {
                break None;
            }
            let to = lowest.number().saturating_sub(step).max(finalized.number());
            let fetched = headers.ancestors(lowest, to).await?;
            path.extend(fetched);
            step = MAX_LENGTH;
        };
        self.check(&path, attached, finalized, headers.name())?;
        let removed = attached.map_or(0, |parent| last.saturating_sub(parent));
        self.removed = self.removed.max(removed);
        let keep = attached.map_or(0, |parent| parent.saturating_add(1));
        while self.headers.back().is_some_and(|header| header.number() >= keep) {
            self.headers.pop_back();
        }
        self.headers.extend(path.into_iter().rev());
        let oldest = finalized.number().saturating_sub(BEFORE);
        while self
            .headers
            .front()
            .is_some_and(|header| header.number() < oldest)
        {
            self.headers.pop_front();
        }
        Ok(())
    }

    /// Most blocks a head removed since this was last asked.
    pub(crate) fn take_removed(&mut self) -> u64 {
        std::mem::take(&mut self.removed)
    }

    // C7: a head beside the finalized block belongs to a chain that is not followed.
    fn check(
        &self,
        path: &[Arc<ProvenHeader>],
        attached: Option<u64>,
        finalized: &ProvenHeader,
        name: &str,
    ) -> Result<(), BridgeError> {
        let number = finalized.number();
        let on_path = path.iter().find(|header| header.number() == number);
        let remembered = || self.at(number).filter(|_| attached >= Some(number));
        let actual = on_path.or_else(remembered).map(|header| header.hash());
        if actual == Some(finalized.hash()) {
            return Ok(());
        }
        let actual = actual.map_or_else(|| "no block".to_owned(), |hash| hash.to_string());
        Err(BridgeError::Endpoint {
            endpoint: name.to_owned(),
            field: "latest block",
            detail: format!(
                "expected a descendant of finalized block {number} {}, got {actual} there",
                finalized.hash()
            ),
        })
    }
}
