//! Why there is no verdict: a piece of state that was not proven yet, or a fault. Neither ever allows anything.

use alloy_primitives::{Address, B256};
use authority_contracts::AnswerError;

/// A piece of state the execution needs and was not given. Fetch it, prove it, run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Missing {
    /// The account itself.
    #[error("account {0} is not proven")]
    Account(Address),
    /// Code of a proven account.
    #[error("code {code_hash} of {address} is not given")]
    Code {
        /// Account whose code it is.
        address: Address,
        /// Its hash, as proven.
        code_hash: B256,
    },
    /// One storage slot of a proven account.
    #[error("slot {slot} of {address} is not proven")]
    Slot {
        /// Account.
        address: Address,
        /// Slot.
        slot: B256,
    },
    /// Hash of an ancestor. Ancestors are not proven, so a contract that asks for one gets no verdict.
    #[error("hash of block {0} cannot be proven")]
    BlockHash(u64),
}

impl revm::database_interface::DBErrorMarker for Missing {}

/// A fault of the evidence or of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The header's fields do not give the hash it came under.
    #[error("header {number}: expected hash {expected}, its fields give {actual}")]
    HeaderHash {
        /// Height the header claims.
        number: u64,
        /// Hash it came under.
        expected: B256,
        /// Hash of its fields.
        actual: B256,
    },
    /// The receipts are not those of the block.
    #[error("receipts of block {block}: expected root {expected}, they give {actual}")]
    ReceiptsRoot {
        /// Height.
        block: u64,
        /// Root in the header.
        expected: B256,
        /// Root of what came.
        actual: B256,
    },
    /// A value is longer than any honest one.
    #[error("{what}: expected at most {limit}, got {actual}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Bound.
        limit: usize,
        /// Size that came.
        actual: usize,
    },
    /// An account proof does not lead from the state root to what was claimed.
    #[error("account {address} at state root {state_root}: proof refused: {detail}")]
    AccountProof {
        /// Account.
        address: Address,
        /// Root the proof should start from.
        state_root: B256,
        /// Which node or value differs.
        detail: String,
    },
    /// A storage proof does not lead from the storage root to what was claimed.
    #[error("slot {slot} of {address} at storage root {storage_root}: proof refused: {detail}")]
    SlotProof {
        /// Account.
        address: Address,
        /// Slot.
        slot: B256,
        /// Root the proof should start from.
        storage_root: B256,
        /// Which node or value differs.
        detail: String,
    },
    /// Code does not have the hash the account has.
    #[error("code of {address}: expected hash {expected}, got {actual}")]
    CodeHash {
        /// Account.
        address: Address,
        /// Hash in the proven account.
        expected: B256,
        /// Hash of the bytes that came.
        actual: B256,
    },
    /// Slots or code came for an account that is not proven.
    #[error("account {0}: expected its proof before its code and slots")]
    AccountFirst(Address),
    /// Nothing is deployed at the address.
    #[error("contract {contract}: expected code at block {block}, found none")]
    NoCode {
        /// Address.
        contract: Address,
        /// Height.
        block: u64,
    },
    /// The call reverted.
    #[error("contract {contract}: reverted with 0x{data}")]
    Reverted {
        /// Address.
        contract: Address,
        /// First bytes of the revert data, hex.
        data: String,
    },
    /// The call stopped without an answer: out of gas, bad instruction.
    #[error("contract {contract}: stopped within {gas_limit} gas: {reason}")]
    Halted {
        /// Address.
        contract: Address,
        /// Bound.
        gas_limit: u64,
        /// The EVM's word for it.
        reason: String,
    },
    /// The answer is not what an authority returns.
    #[error("contract {contract}: {fault}")]
    Answer {
        /// Address.
        contract: Address,
        /// What is wrong with it.
        fault: AnswerError,
    },
    /// The answer is not a network's state.
    #[error("contract {contract}: {detail}")]
    Network {
        /// Address.
        contract: Address,
        /// What is wrong with it.
        detail: String,
    },
    /// The EVM refused to run the call at all.
    #[error("EVM: {0}")]
    Evm(String),
}

/// Why an execution gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// It needs more proven state.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// It failed.
    #[error(transparent)]
    Failed(#[from] PolicyError),
}
