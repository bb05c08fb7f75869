//! Why a transaction did not do what it should.

use kms_types::ChainAddress;

/// A deployment or management step that failed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The endpoint's address cannot be used.
    #[error("endpoint {url}: cannot connect")]
    Connect {
        /// The endpoint.
        url: String,
        /// What went wrong.
        #[source]
        source: alloy::transports::TransportError,
    },
    /// The contract refuses; nothing was sent.
    #[error("{step}: refused: {reason}")]
    Refused {
        /// The step.
        step: &'static str,
        /// The contract's error in words.
        reason: String,
    },
    /// The endpoint could not take the request.
    #[error("{step}: the endpoint failed")]
    Transport {
        /// The step.
        step: &'static str,
        /// What went wrong.
        #[source]
        source: alloy::transports::TransportError,
    },
    /// It was sent but no receipt came in time.
    #[error("{step}: no receipt of transaction {transaction}")]
    Pending {
        /// The step.
        step: &'static str,
        /// The transaction's hash.
        transaction: String,
        /// What went wrong.
        #[source]
        source: alloy::providers::PendingTransactionError,
    },
    /// It was mined and failed.
    #[error("{step}: transaction {transaction} failed in block {block}")]
    Failed {
        /// The step.
        step: &'static str,
        /// The transaction's hash.
        transaction: String,
        /// The block.
        block: u64,
    },
    /// The receipt lacks what every such receipt has.
    #[error("{step}: expected {expected} in the receipt")]
    Receipt {
        /// The step.
        step: &'static str,
        /// What is missing.
        expected: &'static str,
    },
    /// The endpoint answered in time neither yes nor no.
    #[error("{step}: no answer within {seconds} s")]
    Silent {
        /// The step.
        step: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// There is no code where a contract should be.
    #[error("{step}: no contract at {address}")]
    NoContract {
        /// The step.
        step: &'static str,
        /// The address.
        address: ChainAddress,
    },
}
