//! Why there is no decision. None of these ever allows anything; "denied" is not among them.

use crate::FloorError;
use alloy::primitives::B256;
use authority_policy::PolicyError;
use kms_types::{BlockRef, ChainId, UnixTime};

/// Why the bridge cannot answer. Endpoints are named without path and credentials, which may hold API keys.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BridgeError {
    /// The chain cannot be reached, or is not known well enough yet.
    #[error("chain unavailable: {detail}")]
    Unavailable {
        /// What was missing.
        detail: String,
    },
    /// An endpoint failed or gave something that is not an answer.
    #[error("{endpoint}: {field}: {detail}")]
    Endpoint {
        /// Which.
        endpoint: String,
        /// Method or part of its answer.
        field: &'static str,
        /// What happened.
        detail: String,
    },
    /// An endpoint gave evidence that does not prove what it claims.
    #[error("{endpoint}: {fault}")]
    Evidence {
        /// Which.
        endpoint: String,
        /// What does not hold.
        fault: Box<PolicyError>,
    },
    /// An endpoint serves another chain.
    #[error("{endpoint}: chain id: expected {expected}, got {actual}")]
    WrongChain {
        /// Which.
        endpoint: String,
        /// As configured.
        expected: ChainId,
        /// What it says.
        actual: ChainId,
    },
    /// The newest head is too old to decide over.
    #[error("head {head}: expected an age of at most {limit_s} s, got {age_s} s")]
    Stale {
        /// Newest head.
        head: BlockRef,
        /// Its age.
        age_s: u64,
        /// Bound.
        limit_s: u64,
    },
    /// The head is ahead of this machine's clock.
    #[error(
        "head {head}: its time {time} is more than {limit_s} s ahead of the clock's {now}; set the clock"
    )]
    Clock {
        /// Newest head.
        head: BlockRef,
        /// Its time.
        time: UnixTime,
        /// The clock.
        now: UnixTime,
        /// Bound.
        limit_s: u64,
    },
    /// The chain contradicts a block that was final. Nothing is decided until a person has looked.
    #[error("finalized block {number}: expected {expected}, {endpoint} says {actual}")]
    Disagreement {
        /// Who says so.
        endpoint: String,
        /// Height.
        number: u64,
        /// Hash that was final.
        expected: String,
        /// Hash now.
        actual: String,
    },
    /// The endpoints disagree, and no agreement is in sight. Nothing is decided while it lasts.
    #[error("endpoints disagree at block {height}: {}", told(.views))]
    Split {
        /// Height at which they differ.
        height: u64,
        /// Which endpoint says which hash.
        views: Vec<(String, B256)>,
    },
    /// The bridge must not be started like that.
    #[error("{field}: expected {expected}, got {actual}")]
    Config {
        /// Which setting.
        field: &'static str,
        /// What is acceptable.
        expected: &'static str,
        /// What is there.
        actual: String,
    },
    /// The contract gave no answer at a block.
    #[error("block {block}: {fault}")]
    Contract {
        /// At which block.
        block: BlockRef,
        /// Why.
        fault: Box<PolicyError>,
    },
    /// It would take more than is allowed.
    #[error("expected at most {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// Bound.
        limit: usize,
    },
    /// The height floor could not be read or raised.
    #[error(transparent)]
    Floor(#[from] FloorError),
}

impl BridgeError {
    /// The problem code of the KMS protocol.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "chain_stale",
            Self::Disagreement { .. } | Self::Split { .. } => "chain_disagreement",
            _ => "chain_unavailable",
        }
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable {
            detail: detail.into(),
        }
    }
}

fn told(views: &[(String, B256)]) -> String {
    let told: Vec<String> = views
        .iter()
        .map(|(endpoint, hash)| format!("{endpoint} says {hash}"))
        .collect();
    told.join(", ")
}
