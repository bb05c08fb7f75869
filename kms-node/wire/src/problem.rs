//! Errors on the wire: RFC 9457 problem details with a stable code.

use kms_types::BlockRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong. "Denied", "could not ask" and "malformed" are different codes with different statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The request cannot be read.
    Malformed,
    /// The evidence does not hold.
    AttestationFailed,
    /// The evidence holds; the contract says no.
    Denied,
    /// No such thing here.
    NotFound,
    /// The challenge is unknown here, used or expired.
    StaleChallenge,
    /// The request is too large.
    TooLarge,
    /// Too many requests.
    RateLimited,
    /// The node takes no requests: starting, draining or at its limit.
    Busy,
    /// The chain cannot be asked.
    ChainUnavailable,
    /// The newest head is too old.
    ChainStale,
    /// Endpoints disagree about the chain.
    ChainDisagreement,
    /// The platform's collateral cannot be had.
    CollateralUnavailable,
    /// This node itself is not allowed, or not known to be.
    NodeNotAllowed,
    /// The release log cannot be written.
    LogUnavailable,
    /// A fault of the node.
    Internal,
}

impl ProblemCode {
    /// HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::AttestationFailed => 401,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::StaleChallenge => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Busy
            | Self::ChainUnavailable
            | Self::ChainStale
            | Self::ChainDisagreement
            | Self::CollateralUnavailable
            | Self::NodeNotAllowed
            | Self::LogUnavailable => 503,
        }
    }
}

/// Body of every error answer, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:kedge:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Stable code.
    pub code: ProblemCode,
    /// HTTP status.
    pub status: u16,
    /// One sentence: what was expected, what came, what to do next.
    pub detail: String,
    /// Number of the check that failed (docs/security.md), for `attestation_failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// What the check expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// The contract's reason, for `denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The block that decided, for `denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub block: Option<BlockRef>,
    /// Id of the request, as in the `x-request-id` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// A problem with nothing but code and detail.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let name = serde_json::to_value(code)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default();
        Self {
            kind: format!("urn:kedge:problem:{name}"),
            code,
            status: code.status(),
            detail: detail.into(),
            check: None,
            expected: None,
            actual: None,
            reason: None,
            block: None,
            request_id: None,
        }
    }
}
