//! A decision and the blocks it names.

use crate::snapshot::Snapshot;
use authority_policy::{Finality, Verdict, settle};
use kms_types::{BlockHash, ProvenBlock};

/// A decision about one boot record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Allowed, or denied with the contract's reason.
    pub verdict: Verdict,
    /// Which block decided: an allowance rests on the finalized block, a denial on whichever says no.
    pub decided_by: Finality,
    /// Newest head.
    pub head: ProvenBlock,
    /// Newest finalized block.
    pub finalized: ProvenBlock,
    /// Keccak-256 of the ABI encoding of the record.
    pub record_hash: BlockHash,
}

impl Decided {
    /// C8: the block that decided.
    pub const fn block(&self) -> ProvenBlock {
        match self.decided_by {
            Finality::Head => self.head,
            Finality::Finalized => self.finalized,
        }
    }

    /// Whether keys may be released.
    pub const fn is_allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allowed)
    }

    // C4: a grant holds at both blocks; a denial acts as soon as the head shows it.
    pub(crate) fn new(
        snapshot: &Snapshot,
        record_hash: BlockHash,
        head: &Verdict,
        finalized: Option<&Verdict>,
    ) -> Self {
        let (verdict, decided_by) = settle(head, finalized, snapshot.finalized.block.number);
        Self {
            verdict,
            decided_by,
            head: snapshot.head.block,
            finalized: snapshot.finalized.block,
            record_hash,
        }
    }
}
