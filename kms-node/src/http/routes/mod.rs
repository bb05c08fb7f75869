//! The routes, and the OpenAPI document made from them.

mod certificates;
mod decisions;
mod env_key;
mod events;
mod health;
mod keys;
mod log;
mod meta;

use super::{App, edge};
use axum::{Router, middleware};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Every pattern, for labels of metrics and logs.
const PATTERNS: [&str; 17] = [
    "/v1/challenges",
    "/v1/app-keys",
    "/v1/leases",
    "/v1/certificates",
    "/v1/apps/{app_id}/env-public-key",
    "/v1/meta",
    "/v1/log/head",
    "/v1/log/entries",
    "/v1/log/inclusion",
    "/v1/log/consistency",
    "/v1/policy/decisions",
    "/v1/policy/decisions/{id}/evidence",
    "/v1/policy/history",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
];

/// The pattern of a matched route; what clients make up is one word.
pub(super) fn known(route: Option<&str>) -> &'static str {
    PATTERNS
        .into_iter()
        .find(|pattern| Some(*pattern) == route)
        .unwrap_or("unmatched")
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kedge KMS",
        description = "Key release to attested virtual machines. Errors are RFC 9457 problem documents."
    ),
    components(schemas(kms_wire::Problem))
)]
struct Document;

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(keys::challenge))
        .routes(routes!(keys::app_keys))
        .routes(routes!(keys::lease))
        .routes(routes!(certificates::certificate))
        .routes(routes!(env_key::env_public_key))
        .routes(routes!(meta::meta))
        .routes(routes!(log::head))
        .routes(routes!(log::entries))
        .routes(routes!(log::inclusion))
        .routes(routes!(log::consistency))
        .routes(routes!(decisions::decisions))
        .routes(routes!(decisions::evidence))
        .routes(routes!(events::history))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// The router over one node.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (router, document) = described().split_for_parts();
    let document = Arc::new(serde_json::to_vec(&document).unwrap_or_default());
    let serve_document = move || {
        let document = Arc::clone(&document);
        async move {
            (
                [(axum::http::header::CONTENT_TYPE, "application/json")],
                document.as_ref().clone(),
            )
        }
    };
    router
        .route("/openapi.json", axum::routing::get(serve_document))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), edge::wrap))
        .with_state(app)
}
