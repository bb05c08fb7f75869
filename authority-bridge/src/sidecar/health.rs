//! Readiness: whether decisions can be had now and for a while yet. Ends before decisions do, so that a caller has time
//! to move on.

use super::{
    answer::{Failure, Refused},
    app::App,
};
use crate::{BridgeError, ChainStatus};
use authority_policy::PolicyError;
use axum::{extract::State, http::header, response::IntoResponse};
use kms_wire::ProblemCode;
use std::sync::{Arc, atomic::Ordering};

/// What readiness rests on, as of one moment.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) status: ChainStatus,
    pub(crate) head_age_s: Option<u64>,
    pub(crate) floor_up: bool,
    pub(crate) draining: bool,
    pub(crate) limit_s: u64,
    pub(crate) threshold: usize,
    /// Why there is no decision now, whatever else holds.
    pub(crate) fault: Option<BridgeError>,
}

impl Reading {
    pub(crate) fn of(app: &App) -> Self {
        let status = app.bridge.status();
        let now = app.clock.now().0;
        Self {
            head_age_s: status.head.map(|head| now.saturating_sub(head.timestamp.0)),
            status,
            floor_up: app.floor.is_up(),
            draining: app.draining.load(Ordering::Relaxed),
            limit_s: app.config.chain.max_head_age_s,
            threshold: app.needed,
            fault: fault(app),
        }
    }

    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        if self.draining {
            return Err(Failure::new(ProblemCode::Busy, "the service is stopping"));
        }
        if let Some(fault) = &self.fault {
            return Err(fault.clone().into());
        }
        // C5: a caller needs a moment to move on, so readiness ends before decisions do.
        let limit_s = self.limit_s * 4 / 5;
        match self.head_age_s {
            Some(age_s) if age_s <= limit_s => {}
            Some(age_s) => {
                let detail = format!(
                    "head: expected an age of at most {limit_s} s, got {age_s} s; decisions end at {} s",
                    self.limit_s
                );
                return Err(Failure::new(ProblemCode::ChainStale, detail));
            }
            None => return Err(Failure::new(ProblemCode::ChainUnavailable, "no head yet")),
        }
        let endpoints = &self.status.endpoints;
        let healthy = endpoints.iter().filter(|endpoint| endpoint.healthy).count();
        if healthy < self.threshold {
            let failing: Vec<String> = endpoints
                .iter()
                .filter(|endpoint| !endpoint.healthy)
                .map(|endpoint| {
                    let error = endpoint.last_error.clone();
                    error.unwrap_or_else(|| format!("{}: no answer yet", endpoint.name))
                })
                .collect();
            let detail = format!(
                "chain.endpoints: expected {} healthy, got {healthy}: {}",
                self.threshold,
                failing.join("; ")
            );
            return Err(Failure::new(ProblemCode::ChainUnavailable, detail));
        }
        if !self.floor_up {
            let detail =
                "database: it does not answer, or did not take the last height floor; its log line says why";
            return Err(Failure::new(ProblemCode::LogUnavailable, detail));
        }
        Ok(())
    }
}

/// What keeps the bridge from deciding now. A contract that knows no network state decides nevertheless.
fn fault(app: &App) -> Option<BridgeError> {
    match app.bridge.network() {
        Ok(_) => None,
        Err(BridgeError::Contract { fault, .. }) if !matches!(*fault, PolicyError::NoCode { .. }) => None,
        Err(error) => Some(error),
    }
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Decisions can be had, with room to spare: the head is young, enough endpoints are healthy, the floor is kept.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, body = String),
    (status = 503, body = Refused, content_type = "application/problem+json"),
))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<String, Failure> {
    let reading = Reading::of(&app);
    reading.verdict()?;
    let troubles = reading.status.troubles();
    let lines = troubles.iter().map(|trouble| format!("degraded: {trouble}\n"));
    Ok(["ready\n".to_owned()].into_iter().chain(lines).collect())
}

/// Prometheus exposition format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        app.metrics.render(&Reading::of(&app)),
    )
}
