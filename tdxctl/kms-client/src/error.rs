//! Why there are no keys. "Refused", "could not ask" and "the answer does not hold" are different variants.

use kms_wire::{Problem, ProblemCode};

/// Why a request for keys brought none.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The TD gave no quote or no log.
    #[error("the TD could not be asked")]
    Td(#[from] td_quote::TdError),
    /// The TD's own quote is not one.
    #[error("the TD's quote cannot be read")]
    Quote(#[source] attestation::AttestationError),
    /// The log grew under every quote.
    #[error("event log: expected none to be added while a quote is made, and one was, {attempts} times")]
    Moving {
        /// How often it was tried.
        attempts: usize,
    },
    /// The certificate request cannot be read.
    #[error("certificate request: expected PKCS #10 in DER, got {actual}")]
    Csr {
        /// What the parser says.
        actual: String,
    },
    /// This TD is not of the image.
    #[error("catalogue: expected this TD's registers among those of {actual} boots; the nearest differs in {}", .differing.join(", "))]
    NotInCatalogue {
        /// Registers that differ.
        differing: Vec<&'static str>,
        /// How many boots the catalogue has.
        actual: usize,
    },
    /// A part of the request is above its bound.
    #[error("{what}: expected at most {max} bytes, got {actual}")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// The bound.
        max: usize,
        /// What came.
        actual: usize,
    },
    /// The address is none.
    #[error("KMS address: expected https, got {actual:?}")]
    Address {
        /// What came.
        actual: String,
    },
    /// There is no TLS here.
    #[error("TLS could not be set up: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
    /// Whoever answered is not the KMS that is meant.
    #[error("KMS identity ({at}): expected {expected}, got {actual}")]
    Identity {
        /// Where it showed.
        at: &'static str,
        /// The pin.
        expected: String,
        /// What was presented.
        actual: String,
    },
    /// Nobody answered, or the connection broke.
    #[error("{step}: the KMS could not be asked")]
    Transport {
        /// During which call.
        step: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is not of the protocol.
    #[error("{step}: expected {expected}, got {actual}")]
    Protocol {
        /// During which call.
        step: &'static str,
        /// What should have come.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The KMS says no.
    #[error("{step}: refused: {}", .problem.detail)]
    Refused {
        /// During which call.
        step: &'static str,
        /// Its words.
        problem: Box<Problem>,
    },
    /// The answer is not what was asked for, or not from the KMS.
    #[error("answer: {what}: expected {expected}, got {actual}")]
    Answer {
        /// Which part.
        what: &'static str,
        /// What was wanted.
        expected: String,
        /// What came.
        actual: String,
    },
    /// A signature of the answer does not hold.
    #[error("answer: {what}")]
    Signature {
        /// Which signature.
        what: &'static str,
        /// Why.
        #[source]
        source: kms_keys::SignatureError,
    },
    /// The answer is not sealed to this request.
    #[error("answer: cannot be opened")]
    Seal(#[from] kms_keys::SealError),
}

impl RequestError {
    /// The KMS's problem document, when it refused.
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// True when nothing was decided: asking again later may help.
    pub const fn could_not_ask(&self) -> bool {
        match self {
            Self::Td(_)
            | Self::Moving { .. }
            | Self::Transport { .. }
            | Self::Tls { .. }
            | Self::Protocol { .. } => true,
            Self::Refused { problem, .. } => !decided(problem.code),
            _ => false,
        }
    }

    /// True when the KMS looked at this guest and said no: no other node of it would say otherwise. A node that does not
    /// understand a request, or does not hold what it asks for, may be an older one among newer.
    pub const fn denied(&self) -> bool {
        matches!(
            self,
            Self::Refused { problem, .. }
                if matches!(problem.code, ProblemCode::AttestationFailed | ProblemCode::Denied)
        )
    }

    /// True when the KMS did not understand what was asked, or found it too long.
    pub const fn malformed(&self) -> bool {
        matches!(
            self,
            Self::Refused { problem, .. }
                if matches!(problem.code, ProblemCode::Malformed | ProblemCode::TooLarge)
        )
    }

    /// True when no node was asked: the fault is this guest's.
    pub const fn is_local(&self) -> bool {
        matches!(
            self,
            Self::Td(_)
                | Self::Quote(_)
                | Self::Moving { .. }
                | Self::Csr { .. }
                | Self::NotInCatalogue { .. }
                | Self::TooLong { .. }
                | Self::Tls { .. }
        )
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Td(error) => error.advice(),
            Self::Moving { .. } => "let the app emit its events before the lease is renewed",
            Self::Quote(_) | Self::TooLong { .. } | Self::Csr { .. } => "the request was not sent",
            Self::NotInCatalogue { .. } => {
                "give the catalogue.json of the OS image that this TD booted; `kedge os explain` names the input that differs"
            }
            Self::Address { .. } => "give --kms https://HOST:PORT",
            Self::Identity { .. } | Self::Signature { .. } | Self::Answer { .. } | Self::Seal(_) => {
                "nothing was accepted; compare the pin with the identity recorded on-chain, and the address"
            }
            Self::Tls { .. } | Self::Transport { .. } | Self::Protocol { .. } => {
                "check the address and try again"
            }
            Self::Refused { problem, .. } => advice(problem.code),
        }
    }
}

/// True for the codes that asking the same node again does not change.
const fn decided(code: ProblemCode) -> bool {
    matches!(
        code,
        ProblemCode::Malformed
            | ProblemCode::AttestationFailed
            | ProblemCode::Denied
            | ProblemCode::NotFound
            | ProblemCode::TooLarge
    )
}

const fn advice(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::Malformed | ProblemCode::TooLarge => "the two ends may be of different versions",
        ProblemCode::AttestationFailed => {
            "the check that failed is numbered in docs/security.md; repair what it names"
        }
        ProblemCode::Denied => "only the owner of the contract that gave the reason can change it",
        ProblemCode::NotFound => "ask for an epoch this node has, or a node that has this one",
        ProblemCode::StaleChallenge => "ask again; a challenge is good once, for a minute",
        ProblemCode::RateLimited | ProblemCode::Busy => "ask again later",
        ProblemCode::ChainUnavailable | ProblemCode::ChainStale | ProblemCode::ChainDisagreement => {
            "the node cannot ask the chain; its operator has to look at its RPC endpoints"
        }
        ProblemCode::CollateralUnavailable => {
            "the node has no collateral for this platform; its operator has to look"
        }
        ProblemCode::NodeNotAllowed => "the contract does not allow this node; ask another one",
        ProblemCode::LogUnavailable | ProblemCode::Internal => "its operator has to look at the node's log",
    }
}
