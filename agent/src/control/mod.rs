//! The control socket, for the operator's tools on the host of a simulated guest and for the VMM: status, containers, logs,
//! stop. Whoever can open it (0600, the owner's) may do all of it. Holds no secret of the app.

mod answers;
mod logs;

use crate::agent::Agent;
use answers::ControlError;
use axum::{
    Json, Router,
    extract::rejection::QueryRejection,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// The app is waited for as long as this when it is stopped, unless the call says otherwise.
const STOP_PATIENCE_S: u64 = 120;
/// And never longer than this.
const MAX_STOP_PATIENCE_S: u64 = 3600;

/// Every route of the control socket.
pub fn router(agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/containers", get(containers))
        .route("/v1/logs", get(logs::logs))
        .route("/v1/inspect", get(inspect))
        .route("/v1/stop", post(stop))
        .route("/v1/start", post(start))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(|| async { openapi().into_response() }))
        .fallback(|| async { ControlError::NotFound })
        .method_not_allowed_fallback(|| async { ControlError::Method })
        .with_state(agent)
}

async fn status(State(agent): State<Arc<Agent>>) -> Response {
    Json(agent.status()).into_response()
}

async fn containers(State(agent): State<Arc<Agent>>) -> Result<Response, ControlError> {
    let containers = agent.app.containers().await.map_err(ControlError::App)?;
    Ok(Json(json!({ "containers": containers })).into_response())
}

async fn inspect(State(agent): State<Arc<Agent>>) -> Result<Response, ControlError> {
    let containers = agent.app.containers().await.map_err(ControlError::App)?;
    let whole = json!({
        "status": agent.status(),
        "containers": containers,
        "app_compose": agent.compose,
    });
    Ok(Json(whole).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    timeout_s: Option<u64>,
}

async fn stop(
    State(agent): State<Arc<Agent>>,
    asked: Result<Query<Stop>, QueryRejection>,
) -> Result<Response, ControlError> {
    let Query(asked) = asked.map_err(|error| ControlError::Query(error.body_text()))?;
    agent.set_stopped(true).map_err(ControlError::Mark)?;
    let seconds = asked
        .timeout_s
        .unwrap_or(STOP_PATIENCE_S)
        .min(MAX_STOP_PATIENCE_S);
    if agent.until_stopped(Duration::from_secs(seconds)).await {
        return Ok(Json(json!({ "stopped": true })).into_response());
    }
    Err(ControlError::StillRunning { seconds })
}

async fn start(State(agent): State<Arc<Agent>>) -> Result<Response, ControlError> {
    agent.set_stopped(false).map_err(ControlError::Mark)?;
    Ok(Json(json!({ "stopped": false })).into_response())
}

async fn ready(State(agent): State<Arc<Agent>>) -> Response {
    if agent.is_ready() {
        return "ready\n".into_response();
    }
    let state = agent.state.borrow().clone();
    (StatusCode::SERVICE_UNAVAILABLE, Json(state)).into_response()
}

async fn metrics(State(agent): State<Arc<Agent>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, agent.metrics_text()).into_response()
}

/// The description of this interface.
fn openapi() -> Json<Value> {
    let answer = |text: &str| json!({ "200": { "description": text }, "default": { "description": "an error: {code, detail, advice}" } });
    let get = |summary: &str, text: &str| json!({ "get": { "summary": summary, "responses": answer(text) } });
    let parameter = |name: &str, kind: &str, text: &str| json!({ "name": name, "in": "query", "required": false, "description": text, "schema": { "type": kind } });
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Control socket of kedge-agent", "version": env!("CARGO_PKG_VERSION") },
        "paths": {
            "/v1/status": get("The instance, its app and its lease", "status"),
            "/v1/containers": get("The app's containers", "{containers}"),
            "/v1/logs": { "get": { "summary": "Log lines, one JSON object a line", "parameters": [
                parameter("service", "string", "of one service"),
                parameter("tail", "integer", "the last so many"),
                parameter("since", "integer", "from this time on, nanoseconds since 1970"),
                parameter("follow", "boolean", "go on with new lines"),
            ], "responses": answer("application/x-ndjson: {time, service, stream, text}") } },
            "/v1/inspect": get("Everything that is known", "{status, containers, app_compose}"),
            "/v1/stop": { "post": { "summary": "Stop the app and keep it stopped until the next boot", "parameters": [
                parameter("timeout_s", "integer", "how long to wait for its end"),
            ], "responses": answer("{stopped}") } },
            "/v1/start": { "post": { "summary": "Let the app run again", "responses": answer("{stopped}") } },
            "/healthz": get("The process answers", "ok"),
            "/readyz": get("Everything of the app was started", "ready"),
            "/metrics": get("Figures for Prometheus", "text"),
        },
    }))
}
