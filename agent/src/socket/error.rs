//! What a call on the socket can come to. "Malformed", "denied" and "could not ask" stay apart: 400, 403 and 503.

use crate::keys::{DeriveError, SigningError, UnknownAlgorithm};
use hyper::StatusCode;
use td_quote::TdError;

/// Why a call gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The request is not one.
    #[error("{what}: expected {expected}, got {actual}")]
    Malformed {
        /// Which part.
        what: String,
        /// What it should be.
        expected: String,
        /// What came.
        actual: String,
    },
    /// No such method.
    #[error("method: expected one of {expected}, got {actual:?}")]
    NotFound {
        /// The methods of this socket.
        expected: String,
        /// What came.
        actual: String,
    },
    /// Neither GET nor POST.
    #[error("HTTP method: expected GET or POST, got {actual}")]
    Verb {
        /// What came.
        actual: String,
    },
    /// Above a bound.
    #[error("{what}: expected at most {max} bytes, got more")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// Asked too often.
    #[error("{what}: expected at most {per_second} a second, got more; ask again in {retry_ms} ms")]
    TooMany {
        /// Which calls.
        what: &'static str,
        /// The rate.
        per_second: u32,
        /// When there is room again.
        retry_ms: u64,
    },
    /// Too many wait for the TD.
    #[error("TD: expected a turn within {waited_ms} ms, got none; ask again")]
    Busy {
        /// Time waited.
        waited_ms: u64,
    },
    /// The client did not send its body in time.
    #[error("body: expected within {seconds} s, got a part of it")]
    Slow {
        /// The time it had.
        seconds: u64,
    },
    /// An app has recorded as much as it may.
    #[error("{what}: expected at most {max} of an app, got one more")]
    Full {
        /// Events or bytes.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The TD gave no answer.
    #[error("TD: expected an answer, got none: {0}")]
    Td(#[source] TdError),
    /// The system is not up yet.
    #[error("event log: expected system-ready, got a boot still under way; ask again")]
    NotReady,
    /// The KMS refuses.
    #[error("KMS: expected a grant, got a denial: {reason}")]
    Denied {
        /// In the words of the KMS or the contract.
        reason: String,
    },
    /// The KMS could not be asked.
    #[error("KMS: expected an answer, got none: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// A fault of the agent.
    #[error("agent: {reason}")]
    Internal {
        /// Which.
        reason: String,
    },
}

impl SocketError {
    /// A part of the request that is not what it should be.
    pub(crate) fn malformed(
        what: impl Into<String>,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            what: what.into(),
            expected: expected.into(),
            actual: actual.into(),
        }
    }

    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } | Self::Full { .. } => StatusCode::BAD_REQUEST,
            Self::Denied { .. } => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Verb { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy { .. } | Self::Td(_) | Self::NotReady | Self::Unavailable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::NotFound { .. } => "not_found",
            Self::Verb { .. } => "method_not_allowed",
            Self::TooLarge { .. } => "too_large",
            Self::TooMany { .. } => "rate_limited",
            Self::Busy { .. } => "busy",
            Self::Slow { .. } => "slow",
            Self::Full { .. } => "event_log_full",
            Self::Td(_) => "td_unavailable",
            Self::NotReady => "not_ready",
            Self::Denied { .. } => "denied",
            Self::Unavailable { .. } => "kms_unavailable",
            Self::Internal { .. } => "internal",
        }
    }
}

impl From<UnknownAlgorithm> for SocketError {
    fn from(error: UnknownAlgorithm) -> Self {
        Self::malformed(
            "algorithm",
            format!("one of {}", error.expected),
            format!("{:?}", error.actual),
        )
    }
}

impl From<DeriveError> for SocketError {
    fn from(error: DeriveError) -> Self {
        Self::Internal {
            reason: error.to_string(),
        }
    }
}

impl From<SigningError> for SocketError {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::NotAHash { actual } => Self::malformed(
                "data",
                "a hash of 32 bytes for secp256k1_prehashed",
                format!("{actual} bytes"),
            ),
            SigningError::PublicKey { expected, actual } => {
                Self::malformed("public_key", expected, format!("{actual} other bytes"))
            }
            SigningError::Signature { expected, actual } => {
                Self::malformed("signature", expected, format!("{actual} other bytes"))
            }
            SigningError::Key => Self::Internal {
                reason: error.to_string(),
            },
        }
    }
}
