//! Chain state proven at a block, and a boot record, to a verdict: evidence in, verdict out, no I/O and no clock.
//!
//! [`ProvenHeader`] is a header hashed here. [`ProvenState`] starts from one and grows only by proofs that lead to its
//! state root. [`decide`] and [`network_state`] run the contract over exactly that state and name whatever is missing.
//! Refused: any proof that does not verify, any answer that is not the interface's, and execution over anything unproven.
#![forbid(unsafe_code)]

mod block;
mod database;
mod decision;
mod error;
mod evidence;
mod evm;
mod hardfork;
mod header;
mod reads;
mod rule;
mod state;

pub use authority_contracts::{EpochIdentity, NetworkState};
pub use decision::{Question, Subject, Verdict, decide, network_state};
pub use error::{Missing, PolicyError, Stop};
pub use evidence::{AccountEvidence, MAX_CODE, MAX_PROOF_NODE, MAX_PROOF_NODES, SlotEvidence};
pub use evm::{EvmRules, Outcome, execute};
pub use hardfork::{Hardfork, HardforkRule};
pub use header::{MAX_EXTRA_DATA, ProvenHeader};
pub use reads::Reads;
pub use rule::{Finality, settle};
pub use state::ProvenState;
