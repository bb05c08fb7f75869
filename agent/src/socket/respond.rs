//! Answers as JSON. A body with a secret is made in one piece of memory that is wiped when the last byte is sent.

use super::{SocketError, messages::ErrorResponse};
use http_body_util::Full;
use hyper::{
    Response,
    body::Bytes,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use zeroize::Zeroizing;

/// Room for the largest body with a secret: a key, and a certificate chain whose leaf carries a quote.
const SECRET_ROOM: usize = 256 * 1024;
const SMALL_ROOM: usize = 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

fn internal(error: &serde_json::Error) -> SocketError {
    SocketError::Internal {
        reason: error.to_string(),
    }
}

/// A body without secrets.
pub(super) fn json(answer: &impl Serialize) -> Result<Bytes, SocketError> {
    serde_json::to_vec(answer)
        .map(Bytes::from)
        .map_err(|error| internal(&error))
}

fn wiped(answer: &impl Serialize, room: usize) -> Result<Bytes, SocketError> {
    // K4: a buffer that grows leaves its former self behind; this one has room from the start.
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *body, answer).map_err(|error| internal(&error))?;
    Ok(Bytes::from_owner(body))
}

/// A small body with a secret.
pub(super) fn secret(answer: &impl Serialize) -> Result<Bytes, SocketError> {
    wiped(answer, SMALL_ROOM)
}

/// A body with a secret and certificates.
pub(super) fn large_secret(answer: &impl Serialize) -> Result<Bytes, SocketError> {
    wiped(answer, SECRET_ROOM)
}

/// The response of a call.
pub(super) fn response(answer: Result<Bytes, SocketError>) -> Response<Full<Bytes>> {
    let (status, body) = match answer {
        Ok(body) => (hyper::StatusCode::OK, body),
        Err(error) => {
            let text = described(&error);
            let body = ErrorResponse {
                error: &text,
                code: error.code(),
            };
            (error.status(), json(&body).unwrap_or_default())
        }
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// An error with its causes, in one line.
fn described(error: &SocketError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error).and_then(std::error::Error::source);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.chars().filter(|c| !c.is_control()).take(2000).collect()
}
