//! What an untrusted provider hands over, before anything is believed, and the bounds it must keep.

use crate::PolicyError;
use alloy_primitives::{Address, B256, Bytes, U256};

/// Nodes of one proof: a path has 64 nibbles, so at most 65 nodes.
pub const MAX_PROOF_NODES: usize = 65;
/// Bytes of one trie node: a full branch has 532, a leaf with the longest account less.
pub const MAX_PROOF_NODE: usize = 1024;
/// Bytes of one contract's code: EIP-7954 allows 32 KiB, some chains twice that.
pub const MAX_CODE: usize = 64 * 1024;

/// A claimed account with the proof for it (the account part of `eth_getProof`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountEvidence {
    /// Whose.
    pub address: Address,
    /// Claimed nonce.
    pub nonce: u64,
    /// Claimed balance.
    pub balance: U256,
    /// Claimed root of its storage.
    pub storage_root: B256,
    /// Claimed hash of its code.
    pub code_hash: B256,
    /// Trie nodes from the state root.
    pub proof: Vec<Bytes>,
}

/// A claimed storage value with the proof for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotEvidence {
    /// Which slot.
    pub slot: B256,
    /// Claimed value.
    pub value: U256,
    /// Trie nodes from the account's storage root.
    pub proof: Vec<Bytes>,
}

/// Refuses proofs longer than a trie can give.
pub(crate) fn bounded(proof: &[Bytes]) -> Result<(), PolicyError> {
    at_most("nodes of a proof", MAX_PROOF_NODES, proof.len())?;
    proof
        .iter()
        .try_for_each(|node| at_most("bytes of a trie node", MAX_PROOF_NODE, node.len()))
}

pub(crate) fn at_most(what: &'static str, limit: usize, actual: usize) -> Result<(), PolicyError> {
    if actual > limit {
        return Err(PolicyError::TooLarge { what, limit, actual });
    }
    Ok(())
}
