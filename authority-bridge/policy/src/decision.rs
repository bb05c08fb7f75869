//! The questions a node asks a contract, and the only place where a [`Verdict`] is made from an answer.

use crate::{EvmRules, NetworkState, Outcome, PolicyError, ProvenState, Stop, execute};
use alloy_primitives::{Address, Bytes, keccak256};
use alloy_sol_types::SolValue;
use authority_contracts::{Answer, decode_answer, decode_network_state, question};
use kms_types::{BlockHash, BootInfo, BootRecord, ChainAddress};

/// Whether keys may go to an app's instance or the root to a KMS node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `isAppAllowedV2`, or `isAppAllowed` about facts of version 1.
    App,
    /// `isKmsAllowedV2`, or `isKmsAllowed`.
    Kms,
}

/// What the contract said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not.
    Denied {
        /// The contract's words; control characters are replaced, so they can be logged.
        reason: String,
    },
}

impl From<Answer> for Verdict {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Allowed => Self::Allowed,
            // An app's own contract words its denials; it must not be able to forge a line of a log with them.
            Answer::Denied(denial) => {
                let shown = |c: char| {
                    if c.is_control() {
                        char::REPLACEMENT_CHARACTER
                    } else {
                        c
                    }
                };
                let reason = denial.reason().chars().map(shown).collect();
                Self::Denied { reason }
            }
        }
    }
}

/// What a contract is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Facts {
    /// A whole boot record: `isAppAllowedV2`, `isKmsAllowedV2`.
    Record(BootRecord),
    /// What version 1 knows: `isAppAllowed`, `isKmsAllowed`.
    Info(BootInfo),
}

/// Facts put to a contract, encoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    contract: Address,
    call: Bytes,
    record_hash: BlockHash,
}

impl Question {
    /// Encodes the question whether what `facts` describe is allowed.
    pub fn new(contract: ChainAddress, subject: Subject, facts: &Facts) -> Self {
        let call = match (subject, facts) {
            (Subject::App, Facts::Record(record)) => question::is_app_allowed(record),
            (Subject::Kms, Facts::Record(record)) => question::is_kms_allowed(record),
            (Subject::App, Facts::Info(info)) => question::is_app_allowed_v1(info),
            (Subject::Kms, Facts::Info(info)) => question::is_kms_allowed_v1(info),
        };
        let encoded = match facts {
            Facts::Record(record) => question::abi_record(record).abi_encode(),
            Facts::Info(info) => question::abi_info(info).abi_encode(),
        };
        Self {
            contract: Address::new(contract.to_bytes()),
            call: call.into(),
            record_hash: BlockHash::new(keccak256(encoded).0),
        }
    }

    /// Keccak-256 of the ABI encoding of the facts.
    pub const fn record_hash(&self) -> BlockHash {
        self.record_hash
    }
    /// The call data.
    pub const fn call(&self) -> &Bytes {
        &self.call
    }
    /// The contract asked.
    pub const fn contract(&self) -> Address {
        self.contract
    }

    /// Puts it to the contract as it is in `state`.
    ///
    /// # Errors
    /// [`Stop::Missing`] when the contract reads what `state` has no proof of; [`Stop::Failed`] when it has no code,
    /// reverts, halts or answers in another encoding than the interface's.
    pub fn ask(&self, state: &ProvenState, rules: &EvmRules) -> Result<Outcome<Verdict>, Stop> {
        let outcome = execute(state, rules, self.contract, self.call.clone())?;
        // C6: an answer that is not the interface's own encoding allows nothing.
        let answer = decode_answer(&outcome.value).map_err(|fault| PolicyError::Answer {
            contract: self.contract,
            fault,
        })?;
        Ok(outcome.with(answer.into()))
    }
}

/// What the contract, as it is in `state`, says of its network.
///
/// # Errors
/// [`Stop::Missing`] when the contract reads what `state` has no proof of; [`Stop::Failed`] when it has no code,
/// reverts, halts or answers something that is not a network's state.
pub fn network_state(
    state: &ProvenState,
    rules: &EvmRules,
    contract: ChainAddress,
) -> Result<Outcome<NetworkState>, Stop> {
    let contract = Address::new(contract.to_bytes());
    let outcome = execute(state, rules, contract, question::network_state().into())?;
    let network = decode_network_state(&outcome.value).map_err(|refused| PolicyError::Network {
        contract,
        detail: refused.to_string(),
    })?;
    Ok(outcome.with(network))
}
