//! The public page: what anyone may know of the app, as far as its measured compose document lets them. Plain HTML without
//! scripts and without anything loaded from elsewhere.
//!
//! | path | shown when | otherwise |
//! |---|---|---|
//! | `/`, `/info` | always; each part by its own flag | |
//! | `/metrics` | `public_sysinfo` | 403 |
//! | `/logs/{service}` | `public_logs` | 403, whether or not there is such a service |
//! | `/logs/{service}` of no service | | 404 |
//!
//! 403 says "this app does not show it", 404 "there is no such thing"; the first is checked first, so that a closed log does
//! not tell the names of services. Refuses every method but GET and HEAD.

mod host;
mod html;
mod page;

pub(crate) use host::memory;

use crate::{agent::Agent, app::AppError, app::LogRequest};
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use futures::StreamExt;
use serde::Deserialize;
use std::{convert::Infallible, sync::Arc};

/// Lines of a log when none are asked for.
const DEFAULT_TAIL: usize = 200;
/// Most lines of one answer to the public.
const MAX_TAIL: usize = 2000;
/// Readers of logs at a time.
const MAX_READERS: usize = 16;

struct Public {
    agent: Arc<Agent>,
    readers: Arc<tokio::sync::Semaphore>,
}

/// Every route of the public page.
pub fn router(agent: Arc<Agent>) -> Router {
    let public = Arc::new(Public {
        agent,
        readers: Arc::new(tokio::sync::Semaphore::new(MAX_READERS)),
    });
    Router::new()
        .route("/", get(index))
        .route("/info", get(info))
        .route("/metrics", get(metrics))
        .route("/logs/{service}", get(logs))
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "there is no such page") })
        .layer(middleware::map_response(guarded))
        .with_state(public)
}

/// Nothing on the page loads or runs anything, also when some text of the app should get through as markup.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, format!("{text}\n")).into_response()
}

fn closed(flag: &'static str) -> Response {
    let text = format!("this app does not show it: its compose document does not set {flag}\n");
    (StatusCode::FORBIDDEN, text).into_response()
}

async fn index(State(public): State<Arc<Public>>) -> Response {
    let containers = public.agent.app.containers().await.unwrap_or_default();
    let page = page::Page {
        status: public.agent.status(),
        containers: &containers,
        host: host::Host::read(),
    };
    Html(page.render()).into_response()
}

async fn info(State(public): State<Arc<Public>>) -> Response {
    let agent = &public.agent;
    let (facts, flags) = (&agent.facts, agent.facts.public);
    let mut info = serde_json::json!({
        "app_id": facts.app_id,
        "app_name": facts.app_name,
        "instance_id": facts.instance_id,
        "running": agent.is_ready(),
        "simulated": facts.simulated,
        "public": flags,
    });
    if let Some(object) = info.as_object_mut()
        && flags.tcbinfo
    {
        let measured = serde_json::json!({
            "compose_hash": facts.compose_hash,
            "os_image_hash": facts.os_image_hash,
            "key_provider": { "name": facts.key_provider, "id": facts.key_provider_id },
            "storage_encrypted": facts.storage_encrypted,
        });
        object.insert("tcb_info".to_owned(), measured);
        object.insert("app_compose".to_owned(), agent.compose.clone().into());
    }
    Json(info).into_response()
}

async fn metrics(State(public): State<Arc<Public>>) -> Response {
    if !public.agent.facts.public.sysinfo {
        return closed("public_sysinfo");
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    let mut text = public.agent.metrics_text();
    text.push_str(&host::Host::read().metrics());
    (kind, text).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    tail: Option<usize>,
    #[serde(default)]
    follow: bool,
}

async fn logs(
    State(public): State<Arc<Public>>,
    Path(service): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    if !public.agent.facts.public.logs {
        return closed("public_logs");
    }
    let Ok(Query(asked)) = asked else {
        return plain(
            StatusCode::BAD_REQUEST,
            "expected no query, ?tail=LINES or ?follow=true",
        );
    };
    // G8: a reader holds files and memory, one that follows for ever; anyone may be one.
    let Ok(place) = public.readers.clone().try_acquire_owned() else {
        return plain(
            StatusCode::TOO_MANY_REQUESTS,
            "too many read logs: try again later",
        );
    };
    let request = LogRequest {
        service: Some(service),
        tail: Some(asked.tail.unwrap_or(DEFAULT_TAIL).min(MAX_TAIL)),
        since: None,
        follow: asked.follow,
    };
    match public.agent.app.logs(request).await {
        Ok(lines) => {
            let text = lines.map(move |line| {
                let _held = &place;
                Ok::<_, Infallible>(format!("{}\n", html::printable(&line.text)))
            });
            let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            (kind, Body::from_stream(text)).into_response()
        }
        Err(AppError::NoSuchService { .. }) => plain(StatusCode::NOT_FOUND, "there is no such service"),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the log cannot be read now"),
    }
}
