//! Every failure as a problem document, in one place. A new kind of failure does not compile until it stands here.

use crate::{collateral::CollateralError, limits::LimitError, log::LogError};
use authority_bridge::BridgeError;
use axum::response::{IntoResponse, Response};
use kms_protocol::Refusal;
use kms_wire::{Problem, ProblemCode};
use std::error::Error;

/// A failed request.
#[derive(Debug, Clone)]
pub struct ApiError(pub Box<Problem>);

impl ApiError {
    /// A problem with code and detail.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }
    /// A request that cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Malformed, detail)
    }
    /// A fault of this node; what it was is in the log, not in the answer.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error, "fault");
        Self::new(ProblemCode::Internal, "the node failed; its log says why")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // The outermost layer writes the body, with the id of the request.
        let mut response = Response::default();
        *response.status_mut() = axum::http::StatusCode::from_u16(self.0.status).unwrap_or_default();
        response.extensions_mut().insert(self.0);
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        if matches!(refusal, Refusal::Keys(_) | Refusal::Sealing { .. }) {
            return Self::internal(&refusal);
        }
        Self(Box::new(refusal.problem()))
    }
}

impl From<LimitError> for ApiError {
    fn from(error: LimitError) -> Self {
        Self::new(ProblemCode::RateLimited, error.to_string())
    }
}

impl From<BridgeError> for ApiError {
    fn from(error: BridgeError) -> Self {
        let code = match &error {
            BridgeError::Stale { .. } => ProblemCode::ChainStale,
            BridgeError::Disagreement { .. } | BridgeError::Split { .. } => ProblemCode::ChainDisagreement,
            // C6: whatever else keeps the chain from answering, the answer is "cannot be asked", never "allowed".
            BridgeError::Unavailable { .. }
            | BridgeError::Endpoint { .. }
            | BridgeError::Evidence { .. }
            | BridgeError::WrongChain { .. }
            | BridgeError::Clock { .. }
            | BridgeError::Contract { .. }
            | BridgeError::TooMuch { .. }
            | BridgeError::Config { .. }
            | BridgeError::Floor(_) => ProblemCode::ChainUnavailable,
        };
        Self::new(code, chain_of(&error))
    }
}

impl From<CollateralError> for ApiError {
    fn from(error: CollateralError) -> Self {
        Self::new(ProblemCode::CollateralUnavailable, chain_of(&error))
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Full { .. } => Self::new(ProblemCode::Busy, error.to_string()),
            LogError::SetBack { expected, actual } => Refusal::SetBack { expected, actual }.into(),
            // What the database says may name paths and hosts: it is for the log alone.
            LogError::Store(_) | LogError::Stopped => Self::new(
                ProblemCode::LogUnavailable,
                "the release log takes no entries; nothing was released",
            ),
        }
    }
}

fn chain_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text.chars().take(500).collect()
}
