//! Why a file is not a decision's evidence, and why evidence does not hold. The first says that nothing could be checked,
//! the second that something was checked and is not so.

use crate::{Finality, HardforkRule, Missing, PolicyError, Verdict};
use alloy_primitives::B256;
use kms_types::{BlockHash, ChainAddress, ChainId};

/// A file that cannot be read as a decision's evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Larger than any.
    #[error("file: expected at most {limit} bytes, got {actual}")]
    Size {
        /// Bound.
        limit: usize,
        /// Size that came.
        actual: usize,
    },
    /// Not JSON, or not this structure.
    #[error("file: {0}")]
    Json(String),
    /// Another format, or another version of it.
    #[error("format: expected {expected:?}, got {actual:?}")]
    Format {
        /// The format this program reads.
        expected: &'static str,
        /// What the file names.
        actual: String,
    },
    /// A header is not the RLP of one.
    #[error("{field}: expected the RLP of a block header, got other bytes: {detail}")]
    Header {
        /// Which.
        field: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A rule has a value no node can have.
    #[error("{field}: expected {expected}, got {actual}")]
    Rule {
        /// Which.
        field: &'static str,
        /// What is possible.
        expected: String,
        /// What came.
        actual: String,
    },
}

/// Evidence that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is of another chain than was expected.
    #[error("chain id: expected {expected}, the file says {actual}")]
    Chain {
        /// Asked for.
        expected: ChainId,
        /// In the file.
        actual: ChainId,
    },
    /// It is of another contract than was expected.
    #[error("contract: expected {expected}, the file says {actual}")]
    Contract {
        /// Asked for.
        expected: ChainAddress,
        /// In the file.
        actual: ChainAddress,
    },
    /// Its calls ran by other rules of the EVM than was expected.
    #[error("rules.hardfork: expected {expected:?}, the file says {actual:?}")]
    Hardfork {
        /// Asked for.
        expected: HardforkRule,
        /// In the file.
        actual: HardforkRule,
    },
    /// Its calls had other gas than was expected.
    #[error("rules.gas_limit: expected {expected}, the file says {actual}")]
    GasLimit {
        /// Asked for.
        expected: u64,
        /// In the file.
        actual: u64,
    },
    /// The facts do not have the hash they are said to have.
    #[error("record hash: the file says {expected}, its facts give {actual}")]
    Record {
        /// In the file.
        expected: BlockHash,
        /// Of its facts.
        actual: BlockHash,
    },
    /// A header does not have the hash it is said to have.
    #[error("{which} header: the file says hash {expected}, its fields give {actual}")]
    HeaderHash {
        /// Which.
        which: Finality,
        /// In the file.
        expected: B256,
        /// Of its fields.
        actual: B256,
    },
    /// The headers do not lead from the finalized block to the head.
    #[error("header {number}: expected height {expected_number} and parent {expected}, got parent {actual}")]
    Link {
        /// Height of the header that does not follow.
        number: u64,
        /// Height that follows.
        expected_number: u64,
        /// Hash of the header before it.
        expected: B256,
        /// The parent it names.
        actual: B256,
    },
    /// Neither block is the one whose hash was given.
    #[error("header hash: expected {given}, the file has head {head} and finalized block {finalized}")]
    OtherHeader {
        /// Given from outside.
        given: B256,
        /// Hash of the head.
        head: B256,
        /// Hash of the finalized block.
        finalized: B256,
    },
    /// Something the execution reads is not proven.
    #[error("state at the {at} block: not proven: {missing}")]
    NotProven {
        /// At which of the two blocks.
        at: Finality,
        /// What.
        missing: Missing,
    },
    /// The contract gives no answer over that state.
    #[error("execution at the {at} block: {fault}")]
    NoAnswer {
        /// At which of the two blocks.
        at: Finality,
        /// Why.
        fault: Box<PolicyError>,
    },
    /// The file holds nodes or code that prove nothing of this decision, or not in their order.
    #[error(
        "state: expected {expected_nodes} nodes and {expected_codes} contracts, sorted by hash, which this decision reads; got \
         {nodes} and {codes}, or others"
    )]
    Surplus {
        /// Nodes read.
        expected_nodes: usize,
        /// Contracts read.
        expected_codes: usize,
        /// Nodes in the file.
        nodes: usize,
        /// Contracts in the file.
        codes: usize,
    },
    /// The contract says something else than the file.
    #[error("verdict: the file says {}, the proven state gives {}", words(.expected), words(.actual))]
    OtherVerdict {
        /// In the file.
        expected: Verdict,
        /// By execution.
        actual: Verdict,
    },
    /// The verdict comes from the other block.
    #[error("decided by: the file says {expected}, the rule gives {actual}")]
    OtherBlock {
        /// In the file.
        expected: Finality,
        /// By the rule.
        actual: Finality,
    },
}

/// A verdict in words.
pub(crate) fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allowed => "allowed".to_owned(),
        Verdict::Denied { reason } => format!("denied: {reason}"),
    }
}
