//! Which finalized block may be acted on: never an older one than before, here or before a restart, and only one that
//! descends from it. A chain that contradicts what was final is not followed any further.

use crate::{BridgeError, follower::Follower};
use alloy::primitives::B256;
use authority_policy::ProvenHeader;
use kms_types::BlockRef;

/// Headers that link one finalized block to the one before; over a wider gap the old height is asked for.
const MAX_LINKS: u64 = 255;

impl Follower {
    /// The finalized block to act on: the claimed one, or the one before when the claimed one is older. The floor is
    /// raised before anything is decided over a newer block.
    pub(crate) async fn not_older(&mut self, claimed: ProvenHeader) -> Result<ProvenHeader, BridgeError> {
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
}
