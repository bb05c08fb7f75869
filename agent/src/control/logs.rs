//! Log lines as they were written, one JSON object a line.

use super::answers::ControlError;
use crate::{agent::Agent, app::LogRequest};
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use serde::Deserialize;
use std::{convert::Infallible, sync::Arc};

/// Longest name of a service.
const MAX_SERVICE: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    service: Option<String>,
    tail: Option<usize>,
    since: Option<u64>,
    #[serde(default)]
    follow: bool,
}

pub(super) async fn logs(
    State(agent): State<Arc<Agent>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, ControlError> {
    let Query(asked) = asked.map_err(|error| ControlError::Query(error.body_text()))?;
    if asked
        .service
        .as_ref()
        .is_some_and(|name| name.len() > MAX_SERVICE)
    {
        return Err(ControlError::Query(format!(
            "service: expected at most {MAX_SERVICE} bytes"
        )));
    }
    let request = LogRequest {
        service: asked.service,
        tail: asked.tail,
        since: asked.since,
        follow: asked.follow,
    };
    let lines = agent.app.logs(request).await.map_err(ControlError::App)?;
    let body = Body::from_stream(lines.map(|line| {
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        Ok::<_, Infallible>(text)
    }));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
