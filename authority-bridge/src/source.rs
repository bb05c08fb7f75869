//! The seam between what is known and how it is fetched. Evidence is verified by whoever asked for it, so an
//! [`EvidenceSource`] needs no trust; a [`HeaderSource`] is what says which header is the chain's.
//!
//! One [`crate::Endpoint`] is both, which trusts one provider for headers. A quorum implements [`HeaderSource`] over
//! several and accepts a header when k of n agree on its hash at that height; a beacon light client implements it from
//! sync-committee signatures. Nothing else in the bridge changes.

use crate::BridgeError;
use alloy::primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use authority_policy::{AccountEvidence, ProvenHeader, SlotEvidence};

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
}
