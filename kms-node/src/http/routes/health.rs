//! Liveness, readiness, metrics.

use crate::{app::App, http::ApiError};
use axum::{extract::State, http::header, response::IntoResponse};
use kms_wire::{Problem, ProblemCode};
use std::sync::{Arc, atomic::Ordering};

/// The process answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The node would release: it is allowed itself, the chain is fresh with room to spare, the database takes entries. Below
/// "ready", a line for each endpoint of the chain that is not as it should be.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, body = String),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<String, ApiError> {
    if app.is_draining() {
        return Err(ApiError::new(ProblemCode::Busy, "the node is stopping"));
    }
    let now = app.now()?;
    app.standing.own_record()?;
    let (network, _) = app.network()?;
    // A balancer needs a moment to move on, so readiness ends before releases do.
    let (age_s, limit_s) = (
        now.0.saturating_sub(network.head.timestamp.0),
        app.config.chain.max_head_age_s * 4 / 5,
    );
    if age_s > limit_s {
        let detail = format!("head: expected an age of at most {limit_s} s, got {age_s} s");
        return Err(ApiError::new(ProblemCode::ChainStale, detail));
    }
    // K6: asked in the background, since a connection of the database taken here would be one the log waits for.
    if !app.database_up.load(Ordering::Relaxed) {
        return Err(ApiError::new(
            ProblemCode::LogUnavailable,
            "the database does not answer",
        ));
    }
    let mut text = "ready\n".to_owned();
    let audit = app
        .audited
        .get()
        .and_then(|status| status.borrow().degraded.clone());
    for trouble in app.authority.status().troubles().into_iter().chain(audit) {
        text.push_str("degraded: ");
        text.push_str(&trouble);
        text.push('\n');
    }
    Ok(text)
}

/// Prometheus exposition format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    if let Some(counts) = app.filed.get() {
        app.metrics.decisions(counts);
    }
    if let Some(status) = app.audited.get() {
        app.metrics.audit(&status.borrow());
    }
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        app.metrics.render(),
    )
}
