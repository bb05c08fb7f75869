//! The outermost layer: request id, bound on work and time, metrics, and one form for every failure, also for unknown
//! paths and methods.

use super::{
    answer::{Failure, Refused},
    app::App,
};
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use kms_wire::{Problem, ProblemCode};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tracing::Instrument;

const REQUEST_ID: &str = "x-request-id";
/// Paths that must answer while the service is busy; they are answered from memory.
const ALWAYS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Wraps every request.
pub(super) async fn wrap(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let from = Instant::now();
    let id = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = super::routes::known(route);
    let span = tracing::info_span!("request", id, route, method = %request.method());
    let mut response = admit(&app, route, request, next).instrument(span.clone()).await;
    app.metrics.request(route, response.status().as_u16(), from);
    span.in_scope(|| finish(&mut response, &id));
    response
}

async fn admit(app: &App, route: &'static str, request: Request, next: Next) -> Response {
    if ALWAYS.contains(&route) {
        return next.run(request).await;
    }
    let Ok(_permit) = app.in_flight.try_acquire() else {
        return Failure::new(ProblemCode::Busy, "too many requests in work; try again").into_response();
    };
    let _work = Work::begin(app);
    match tokio::time::timeout(app.config.server.request_timeout(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::new(ProblemCode::Busy, "the request took too long; try again").into_response(),
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

fn finish(response: &mut Response, id: &str) {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let held = response.extensions_mut().remove::<Box<Problem>>();
        let mut problem = held.map_or_else(|| framework_problem(status), |problem| *problem);
        problem.request_id = Some(id.to_owned());
        tracing::info!(status = problem.status, detail = problem.detail, "refused");
        render(response, problem);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// What the framework refused before a handler ran. Its status stays; the code is the nearest of the closed set.
fn framework_problem(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => (ProblemCode::NotFound, "no such path; /openapi.json lists them"),
        StatusCode::METHOD_NOT_ALLOWED => (ProblemCode::Malformed, "another method is expected here"),
        status if status.is_client_error() => (ProblemCode::Malformed, "the request cannot be read"),
        _ => (ProblemCode::Internal, "the service failed; its log says why"),
    };
    Problem {
        status: status.as_u16(),
        ..Problem::new(code, detail)
    }
}

fn render(response: &mut Response, problem: Problem) {
    let busy = problem.code == ProblemCode::Busy;
    let body = serde_json::to_vec(&Refused::new(problem)).unwrap_or_default();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if busy {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    *response.body_mut() = Body::from(body);
}
