//! The seam between what is known and how it is fetched. Evidence is verified by whoever asked for it, so an
//! [`EvidenceSource`] needs no trust; a [`HeaderSource`] is what says which header is the chain's.
//!
//! One [`crate::Endpoint`] is both, which trusts one provider for headers: for development networks alone.
//! [`crate::Quorum`] asks several and takes a header when k of n have the same hash at that height. A beacon light client
//! would implement [`HeaderSource`] from sync-committee signatures: its `tip` gives the execution headers of the optimistic
//! and of the finalized update, `by_hash`, `range` and `ancestors` follow parent hashes from there. Nothing else in the
//! bridge changes.

use crate::{BridgeError, EndpointStatus};
use alloy::{
    consensus::ReceiptEnvelope,
    primitives::{Address, B256, Bytes},
};
use async_trait::async_trait;
use authority_policy::{AccountEvidence, Gap, PolicyError, ProvenHeader, SlotEvidence};
use std::sync::Arc;

/// Headers of one request for a range.
pub(crate) const PIECE: u64 = 256;

/// Head and finalized block as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Newest block.
    pub head: ProvenHeader,
    /// Newest finalized block.
    pub finalized: ProvenHeader,
}

/// Says which headers are the chain's.
#[async_trait]
pub trait HeaderSource: Send + Sync + 'static {
    /// Who answers, without credentials.
    fn name(&self) -> &str;
    /// Head and finalized block, on the configured chain and no other.
    async fn tip(&self) -> Result<Tip, BridgeError>;
    /// The header with this hash; `None` when it is not known.
    async fn by_hash(&self, hash: B256) -> Result<Option<ProvenHeader>, BridgeError>;
    /// Headers of the canonical chain from one height to another, both included.
    async fn range(&self, from: u64, to: u64) -> Result<Vec<ProvenHeader>, BridgeError>;

    /// Ancestors of `head` down to height `to`, newest first, each the parent of the one before.
    async fn ancestors(&self, head: &ProvenHeader, to: u64) -> Result<Vec<Arc<ProvenHeader>>, BridgeError> {
        let mut linked: Vec<Arc<ProvenHeader>> = Vec::new();
        let (mut number, mut expected) = (head.number(), head.parent_hash());
        while number > to {
            let from = number.saturating_sub(PIECE).max(to);
            let headers = self.range(from, number.saturating_sub(1)).await?;
            if headers.is_empty() {
                return Err(unlinked(self.name(), number, "no block"));
            }
            for header in headers.into_iter().rev() {
                if header.hash() != expected || header.number().checked_add(1) != Some(number) {
                    return Err(unlinked(
                        self.name(),
                        number,
                        &header.block().block_ref().to_string(),
                    ));
                }
                (number, expected) = (header.number(), header.parent_hash());
                linked.push(Arc::new(header));
            }
        }
        Ok(linked)
    }

    /// What is known of each provider, where there are several.
    fn endpoints(&self) -> Vec<EndpointStatus> {
        Vec::new()
    }
}

fn unlinked(name: &str, number: u64, actual: &str) -> BridgeError {
    BridgeError::Endpoint {
        endpoint: name.to_owned(),
        field: "eth_getBlockByNumber",
        detail: format!("expected the parent of block {number}, got {actual}"),
    }
}

/// A wish for evidence about one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Whose.
    pub address: Address,
    /// Which slots.
    pub slots: Vec<B256>,
    /// Whether its code too.
    pub code: bool,
}

impl Want {
    /// The account alone.
    pub const fn account(address: Address) -> Self {
        Self {
            address,
            slots: Vec::new(),
            code: false,
        }
    }
}

impl From<Gap> for Want {
    fn from(gap: Gap) -> Self {
        let Gap { address, slots, code } = gap;
        Self { address, slots, code }
    }
}

/// Unverified claims about one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The account.
    pub account: AccountEvidence,
    /// Its slots.
    pub slots: Vec<SlotEvidence>,
    /// Its code, where asked for.
    pub code: Option<Bytes>,
}

/// Fetches evidence at a pinned block.
#[async_trait]
pub trait EvidenceSource: Send + Sync + 'static {
    /// Who answers, without credentials.
    fn name(&self) -> &str;
    /// Evidence for every wish, in their order.
    async fn evidence(&self, block: B256, wants: &[Want]) -> Result<Vec<Evidence>, BridgeError>;
    /// A guess at what a call will read; only saves round trips.
    async fn hint(&self, block: B256, contract: Address, call: Bytes) -> Result<Vec<Want>, BridgeError>;

    /// Every receipt of a block, in order; unverified as everything else.
    async fn receipts(&self, _block: B256) -> Result<Vec<ReceiptEnvelope>, BridgeError> {
        let text = format!("{}: gives no receipts", self.name());
        Err(BridgeError::unavailable(text))
    }

    /// Those to ask one after the other, best first, as long as evidence does not prove what it claims. Each names who
    /// answered it last. Empty where there is nobody but this one.
    fn sources(&self) -> Vec<Arc<dyn EvidenceSource>> {
        Vec::new()
    }

    /// Takes note that the evidence of `name` does not prove what it claims.
    fn report(&self, _name: &str, _fault: &PolicyError) {}
}
