//! Bodies and query strings: read within a bound and a time, then parsed; what does not fit is a problem document.

use super::{App, problem::ApiError};
use crate::metrics::Stage;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{header, request::Parts},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kms_wire::ProblemCode;
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Bodies above this, or of a length that is not declared, wait in line for memory. Usual requests are a quarter of it.
const SMALL: u64 = 128 * 1024;

/// A JSON body of at most `MAX` bytes, with the claim on memory of a large one: to be held while the value lives.
#[derive(Debug)]
pub(crate) struct Json<T, const MAX: usize>(pub(crate) T, pub(crate) Option<OwnedSemaphorePermit>);

impl<T: DeserializeOwned, const MAX: usize> FromRequest<Arc<App>> for Json<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let is_json =
            kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json");
        if !is_json {
            return Err(ApiError::malformed("content-type: expected application/json"));
        }
        let (bytes, room) = read::<MAX>(request, app).await?;
        let mut at = Instant::now();
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            // The parser's message may repeat a value; it is cut, and the request is the asker's own.
            let message: String = error
                .to_string()
                .chars()
                .filter(|c| !c.is_control())
                .take(300)
                .collect();
            ApiError::malformed(format!("body: {message}"))
        })?;
        app.metrics.stage(Stage::Decode, &mut at);
        Ok(Self(value, room))
    }
}

/// No body, or an empty one.
#[derive(Debug)]
pub(crate) struct NoBody;

impl FromRequest<Arc<App>> for NoBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        // `{}` and nothing both say nothing.
        read::<64>(request, app).await.map(|_| Self)
    }
}

async fn read<const MAX: usize>(
    request: Request,
    app: &App,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ApiError> {
    let too_large = || {
        ApiError::new(
            ProblemCode::TooLarge,
            format!("body: expected at most {MAX} bytes, got more"),
        )
    };
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    // Q8: a length that is declared is refused before a byte of it is read.
    if declared.is_some_and(|length: u64| length > MAX as u64) {
        return Err(too_large());
    }
    let room = room(declared, MAX, app)?;
    let body = Limited::new(request.into_body(), MAX).collect();
    match tokio::time::timeout(app.config.server.read_timeout(), body).await {
        Err(_) => Err(ApiError::malformed(
            "body: expected it within the time limit, got a part of it",
        )),
        Ok(Ok(collected)) => Ok((collected.to_bytes(), room)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::malformed("body: expected all of it, but it broke off")),
    }
}

/// A claim on memory for a body that may be large.
fn room(declared: Option<u64>, max: usize, app: &App) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
    if declared.unwrap_or(max as u64) <= SMALL {
        return Ok(None);
    }
    // K6: as many full-sized bodies as there may be requests would be gigabytes.
    let claimed = Arc::clone(&app.large_bodies).try_acquire_owned();
    claimed
        .map(Some)
        .map_err(|_| ApiError::new(ProblemCode::Busy, "too many large requests in work; try again"))
}

/// A query string.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        Query::<T>::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|error| ApiError::malformed(format!("query: {}", error.body_text())))
    }
}
