//! The outermost layer: request id, peer limit, bound on work and time, metrics, and one form for every error, also for
//! unknown paths and methods.

use super::{App, problem::ApiError, serve::Peer};
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use kms_wire::{Problem, ProblemCode};
use std::{sync::Arc, time::Instant};
use tracing::Instrument;

const REQUEST_ID: &str = "x-request-id";
/// Paths that must answer while the node is busy.
const ALWAYS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// Of these, the ones that cost a few loads from memory, and so have no limit.
const FREE: [&str; 2] = ["/healthz", "/readyz"];

/// Wraps every request.
pub(crate) async fn wrap(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let from = Instant::now();
    let id = format!("{:016x}", rand::random::<u64>());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let route = super::routes::known(route.as_deref());
    let span = tracing::info_span!("request", id, route, method = %request.method());
    let mut response = admit(&app, route, request, next).instrument(span.clone()).await;
    app.metrics.request(route, response.status().as_u16(), from);
    span.in_scope(|| finish(&app, &mut response, &id, from));
    response
}

async fn admit(app: &Arc<App>, route: &'static str, request: Request, next: Next) -> Response {
    if FREE.contains(&route) {
        return next.run(request).await;
    }
    // K6: a request of a peer without its address would have no limit; there is none.
    let limited = match request.extensions().get::<Peer>() {
        Some(Peer(address)) => app.limits.peer(address.ip()).map_err(ApiError::from),
        None => Err(ApiError::new(
            ProblemCode::Internal,
            "the node failed: a request without a peer",
        )),
    };
    if let Err(error) = limited {
        return error.into_response();
    }
    if ALWAYS.contains(&route) {
        return next.run(request).await;
    }
    let Ok(_permit) = app.in_flight.try_acquire() else {
        return ApiError::new(ProblemCode::Busy, "too many requests in work; try again").into_response();
    };
    let _work = Work::begin(app);
    match tokio::time::timeout(app.config.server.request_timeout(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(ProblemCode::Busy, "the request took too long; try again").into_response(),
    }
}

/// Counts a request while it is in work, however it ends.
struct Work<'a>(&'a App);

impl<'a> Work<'a> {
    fn begin(app: &'a App) -> Self {
        app.metrics.in_flight.increment(1.0);
        Self(app)
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.metrics.in_flight.decrement(1.0);
    }
}

fn finish(app: &App, response: &mut Response, id: &str, from: Instant) {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let held = response.extensions_mut().remove::<Box<Problem>>();
        let mut problem = held.map_or_else(|| framework_problem(status), |problem| *problem);
        problem.request_id = Some(id.to_owned());
        app.metrics.refusal(problem.code);
        report(&problem, from);
        render(response, &problem);
    } else {
        tracing::debug!(
            status = status.as_u16(),
            micros = from.elapsed().as_micros() as u64,
            "answered"
        );
    }
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn report(problem: &Problem, from: Instant) {
    let micros = from.elapsed().as_micros() as u64;
    let Problem {
        status,
        detail,
        check,
        reason,
        ..
    } = problem;
    // K6: what a flood of requests causes must not become a flood of lines.
    if matches!(problem.code, ProblemCode::RateLimited | ProblemCode::Busy) {
        tracing::debug!(status, detail, micros, "refused");
    } else {
        tracing::info!(status, detail, check, reason, micros, "refused");
    }
}

/// What the framework refused before a handler ran. Its status stays; the code is the nearest of the closed set.
fn framework_problem(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => (ProblemCode::NotFound, "no such path; /openapi.json lists them"),
        StatusCode::METHOD_NOT_ALLOWED => (ProblemCode::Malformed, "another method is expected here"),
        StatusCode::PAYLOAD_TOO_LARGE => (ProblemCode::TooLarge, "the request is too large"),
        status if status.is_client_error() => (ProblemCode::Malformed, "the request cannot be read"),
        _ => (ProblemCode::Internal, "the node failed; its log says why"),
    };
    Problem {
        status: status.as_u16(),
        ..Problem::new(code, detail)
    }
}

fn render(response: &mut Response, problem: &Problem) {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if matches!(problem.code, ProblemCode::RateLimited | ProblemCode::Busy) {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    *response.body_mut() = Body::from(body);
}
