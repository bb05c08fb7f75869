//! Chain state proven at a block, and a boot record, to a verdict: evidence in, verdict out, no I/O and no clock.
//!
//! [`ProvenHeader`] is a header hashed here. [`ProvenState`] is what its state root leads to in [`TrieNodes`], which hold
//! trie nodes and code by hash. [`Question::ask`] and [`network_state`] run the contract over exactly that state and name
//! whatever is missing. [`Tracked`] says what must be proven at the next block for the same questions.
//! [`DecisionEvidence`] is a decision with all of this in one file, for whoever checks it later.
//! Refused: any proof that does not verify, any answer that is not the interface's, and execution over anything unproven.
#![forbid(unsafe_code)]

mod block;
mod bundle;
mod database;
mod decision;
mod error;
mod evidence;
mod evm;
mod hardfork;
mod header;
mod nodes;
mod reads;
mod receipts;
mod rule;
mod state;
mod tracked;
mod trie;
mod window;

pub use authority_contracts::{EpochIdentity, NetworkState};
pub use bundle::{
    Anchor, AtFinalized, Check, ClaimedHeader, DecisionEvidence, Expected, FileError, MAX_FILE,
    MAX_FILE_CODES, MAX_FILE_NODES, MAX_LINKS, Mismatch, Report, Subjected, Verified, read_header,
};
pub use decision::{Facts, Question, Subject, Verdict, network_state};
pub use error::{Missing, PolicyError, Stop};
pub use evidence::{AccountEvidence, MAX_CODE, MAX_PROOF_NODE, MAX_PROOF_NODES, SlotEvidence};
pub use evm::{EvmRules, Outcome, execute};
pub use hardfork::{Hardfork, HardforkRule};
pub use header::{MAX_EXTRA_DATA, ProvenHeader};
pub use nodes::{MAX_WITNESS_CODES, MAX_WITNESS_NODES, TrieNodes, Witness};
pub use reads::Reads;
pub use receipts::{MAX_RECEIPTS, ProvenLog, ProvenReceipts, may_hold_log_of, may_hold_topic};
pub use rule::{Finality, settle};
pub use state::ProvenState;
pub use tracked::{Ask, Gap, Tracked};
pub use window::TimeWindow;
