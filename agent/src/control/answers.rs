//! Errors of the control socket. "No such thing", "could not" and "bad request" are different codes.

use crate::app::AppError;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The app.
    #[error("{}", crate::lease::chain(.0))]
    App(AppError),
    /// The mark of the stop cannot be written.
    #[error("the app's stop cannot be kept: {0}")]
    Mark(std::io::Error),
    /// It takes longer.
    #[error("the app: expected to be stopped within {seconds} s, it is still being stopped")]
    StillRunning {
        /// How long was waited.
        seconds: u64,
    },
    /// The query cannot be read.
    #[error("query: {0}")]
    Query(String),
    /// No such path.
    #[error("path: expected one of /openapi.json")]
    NotFound,
    /// Another method.
    #[error("method: expected the one of /openapi.json")]
    Method,
}

impl ControlError {
    const fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::App(error @ AppError::NoSuchService { .. }) => {
                (StatusCode::NOT_FOUND, "not_found", error.advice())
            }
            Self::App(error) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.advice()),
            Self::Mark(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "look at the guest's run folder",
            ),
            Self::StillRunning { .. } => (
                StatusCode::GATEWAY_TIMEOUT,
                "still_running",
                "ask /v1/status again later",
            ),
            Self::Query(_) => (StatusCode::BAD_REQUEST, "malformed", "see /openapi.json"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "see /openapi.json"),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "see /openapi.json",
            ),
        }
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let (status, code, advice) = self.parts();
        let body = json!({ "code": code, "detail": self.to_string(), "advice": advice });
        (status, Json(body)).into_response()
    }
}
