//! Which finalized block may be acted on: never an older one than before, here or before a restart, and only one that
//! descends from it. A chain that contradicts what was final is not followed any further.

use crate::{BridgeError, follower::Follower};
use alloy::primitives::B256;
use authority_policy::ProvenHeader;
use kms_types::BlockRef;

/// Headers fetched and held at a time while a finalized block is linked to the one before.
const PIECE: u64 = 255;
/// Pieces per step, so that chain id, clock and status are looked at in between, and a start does not wait for long.
const PIECES_PER_STEP: u64 = 16;
/// Widest gap that is linked: 139 days of 12 s blocks, and some 2 GB of headers from a provider that may invent them as
/// it goes. Beyond that a person compares a hash sooner.
const MAX_GAP: u64 = 1_000_000;

impl Follower {
    /// The finalized block to act on: the claimed one, or the one before when the claimed one is older.
    pub(crate) async fn not_older(&mut self, claimed: ProvenHeader) -> Result<ProvenHeader, BridgeError> {
        let reference = claimed.block().block_ref();
        if let Some(known) = self.final_block {
            // C5: monotonic, across restarts.
            if reference.number < known.number {
                return self.still_final(known, reference).await;
            }
            self.descends(&claimed, known).await?;
        }
        Ok(claimed)
    }

    /// Raises the floor to a block the head descends from, before anything is decided over it. An invented one that was
    /// taken for final would make the true chain look like a contradiction, for good.
    pub(crate) async fn keep_final(&mut self, finalized: &ProvenHeader) -> Result<(), BridgeError> {
        let reference = finalized.block().block_ref();
        if self.final_block != Some(reference) {
            self.floor.raise(reference).await?;
            self.final_block = Some(reference);
        }
        Ok(())
    }

    async fn still_final(&self, known: BlockRef, claimed: BlockRef) -> Result<ProvenHeader, BridgeError> {
        let published = self.shared.published.borrow().snapshot.clone();
        if let Some(snapshot) = published {
            return Ok(snapshot.finalized.state.header().clone());
        }
        let header = self.headers.by_hash(B256::new(known.hash.to_bytes())).await?;
        header.ok_or_else(|| {
            let text = "its finalized block is older than one acted on before, which it does not know";
            BridgeError::unavailable(format!("{}: {text}: {claimed} < {known}", self.headers.name()))
        })
    }

    // C7: a reorganisation below a final block means that finality failed or the provider changed chains.
    async fn descends(&mut self, claimed: &ProvenHeader, known: BlockRef) -> Result<(), BridgeError> {
        let end = claimed.block().block_ref();
        match end.number.saturating_sub(known.number) {
            0 if end == known => return Ok(()),
            0 => return Err(self.contradicts(known, claimed.hash())),
            gap if gap > MAX_GAP => return Err(self.too_far(end, known)),
            _ => {}
        }
        for _ in 0..PIECES_PER_STEP {
            // What is linked stays so when the next answer is missing; an older claim than that is linked anew.
            let from = self.linked.filter(|linked| linked.number < end.number);
            let from = from.unwrap_or(known);
            let Some((parent, last)) = self.piece(from, claimed).await? else {
                self.linked = None;
                return Err(self.unlinked(end));
            };
            if parent != B256::new(from.hash.to_bytes()) {
                self.linked = None;
                return Err(match from == known {
                    true => self.contradicts(known, parent),
                    false => self.unlinked(end),
                });
            }
            if last == end {
                self.linked = None;
                return Ok(());
            }
            self.linked = Some(last);
        }
        let (name, reached) = (self.headers.name(), self.linked.unwrap_or(known).number);
        let text = format!("finalized block {end} is linked up to block {reached} so far");
        Err(BridgeError::unavailable(format!("{name}: {text}")))
    }

    /// Parent of the first header after `from`, and the newest header linked to that one; `None` when they do not link.
    async fn piece(
        &self,
        from: BlockRef,
        claimed: &ProvenHeader,
    ) -> Result<Option<(B256, BlockRef)>, BridgeError> {
        let first = from.number.saturating_add(1);
        let last = from.number.saturating_add(PIECE).min(claimed.number());
        // The claimed header is the one at hand, whatever the source now says stands at its height.
        let end = (last == claimed.number()).then_some(claimed);
        let fetched_to = last.saturating_sub(u64::from(end.is_some()));
        let fetched = match first <= fetched_to {
            true => self.headers.range(first, fetched_to).await?,
            false => Vec::new(),
        };
        let (mut numbers, mut newest, mut parent) = (first..=last, None::<&ProvenHeader>, None);
        for header in fetched.iter().chain(end) {
            let linked = newest.is_none_or(|older| header.parent_hash() == older.hash());
            if !linked || numbers.next() != Some(header.number()) {
                return Ok(None);
            }
            parent.get_or_insert(header.parent_hash());
            newest = Some(header);
        }
        let complete = numbers.next().is_none();
        let newest = newest
            .filter(|_| complete)
            .map(|header| header.block().block_ref());
        Ok(parent.zip(newest))
    }

    fn contradicts(&self, known: BlockRef, actual: B256) -> BridgeError {
        BridgeError::Disagreement {
            endpoint: self.headers.name().to_owned(),
            number: known.number,
            expected: B256::new(known.hash.to_bytes()).to_string(),
            actual: actual.to_string(),
        }
    }

    fn unlinked(&self, claimed: BlockRef) -> BridgeError {
        BridgeError::Endpoint {
            endpoint: self.headers.name().to_owned(),
            field: "eth_getBlockByNumber",
            detail: format!("blocks do not link to finalized block {claimed}"),
        }
    }

    // C7: too long a chain to fetch is not taken on trust instead.
    fn too_far(&self, claimed: BlockRef, known: BlockRef) -> BridgeError {
        let name = self.headers.name();
        BridgeError::unavailable(format!(
            "{name}: finalized block {claimed} is more than {MAX_GAP} blocks after {known}, too many to link; check with \
             providers you trust that both blocks are on the chain, then `floor accept --block NUMBER:HASH`"
        ))
    }
}
