//! The routes, and the OpenAPI document made from them.

use super::{
    answer::{BootRequest, BootResponse, Failure, Info, Refused},
    app::App,
    edge, health,
};
use crate::{Subject, Verdict};
use alloy::primitives::Address;
use authority_contracts::abi::KmsAuthority;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware,
    routing::get,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kms_wire::{
    ProblemCode,
    boot_auth::{MAX_BODY, read_boot},
};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Every pattern, for labels of metrics and logs.
const PATTERNS: [&str; 7] = [
    "/",
    "/bootAuth/app",
    "/bootAuth/kms",
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
        title = "Kedge authority bridge",
        description = "dstack's bootAuth webhook, answered from contract state proven against block headers. Every failure \
                       is an RFC 9457 problem document with isAllowed: false."
    ),
    components(schemas(BootRequest, Refused, kms_wire::Problem))
)]
struct Document;

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(boot_app))
        .routes(routes!(boot_kms))
        .routes(routes!(info))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// The router over one service.
pub(super) fn router(app: Arc<App>) -> Router {
    let (router, document) = described().split_for_parts();
    let document = Arc::new(serde_json::to_vec(&document).unwrap_or_default());
    let serve_document = move || {
        let document = Arc::clone(&document);
        async move {
            (
                [(header::CONTENT_TYPE, "application/json")],
                document.as_ref().clone(),
            )
        }
    };
    router
        .route("/openapi.json", get(serve_document))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), edge::wrap))
        .with_state(app)
}

/// Whether an app's instance may have its keys.
#[utoipa::path(post, path = "/bootAuth/app", request_body = BootRequest, responses(
    (status = 200, description = "Decided: allowed, or denied with the contract's reason", body = BootResponse),
    (status = 400, description = "The body cannot be read; names each field", body = Refused, content_type = "application/problem+json"),
    (status = 413, description = "The body is too large", body = Refused, content_type = "application/problem+json"),
    (status = 503, description = "The chain cannot be asked", body = Refused, content_type = "application/problem+json"),
))]
async fn boot_app(State(app): State<Arc<App>>, request: Request) -> Result<BootResponse, Failure> {
    boot(&app, Subject::App, "app", request).await
}

/// Whether a KMS node may have the root.
#[utoipa::path(post, path = "/bootAuth/kms", request_body = BootRequest, responses(
    (status = 200, description = "Decided: allowed, or denied with the contract's reason", body = BootResponse),
    (status = 400, description = "The body cannot be read; names each field", body = Refused, content_type = "application/problem+json"),
    (status = 413, description = "The body is too large", body = Refused, content_type = "application/problem+json"),
    (status = 503, description = "The chain cannot be asked", body = Refused, content_type = "application/problem+json"),
))]
async fn boot_kms(State(app): State<Arc<App>>, request: Request) -> Result<BootResponse, Failure> {
    boot(&app, Subject::Kms, "kms", request).await
}

async fn boot(
    app: &App,
    subject: Subject,
    name: &'static str,
    request: Request,
) -> Result<BootResponse, Failure> {
    let answered = answer(app, subject, request).await;
    let code;
    let outcome = match &answered {
        Ok(BootResponse { is_allowed: true, .. }) => "allowed",
        Ok(_) => "denied",
        Err(Failure(problem)) => {
            code = problem.kind.replace("urn:kedge:problem:", "");
            &code
        }
    };
    app.metrics.decision(name, outcome);
    answered
}

async fn answer(app: &App, subject: Subject, request: Request) -> Result<BootResponse, Failure> {
    let body = body(app, request).await?;
    let info = read_boot(&body).map_err(|fault| Failure::new(ProblemCode::Malformed, fault.to_string()))?;
    let (verdict, gateway_app_id) = app.decide(subject, info).await?;
    Ok(match verdict {
        Verdict::Allowed => BootResponse {
            is_allowed: true,
            gateway_app_id,
            reason: String::new(),
        },
        Verdict::Denied { reason } => BootResponse {
            is_allowed: false,
            gateway_app_id,
            reason,
        },
    })
}

/// What is asked whom: contract, chain, endpoint, and what the contract says of gateway and app implementation.
#[utoipa::path(get, path = "/", responses(
    (status = 200, body = Info),
    (status = 503, body = Refused, content_type = "application/problem+json"),
))]
async fn info(State(app): State<Arc<App>>) -> Result<Json<Info>, Failure> {
    let implementation = app
        .read(&KmsAuthority::appImplementationCall {})
        .await?
        .unwrap_or_default()
        .to_checksum(None);
    let head = app.bridge.status().head.map(|head| head.hash);
    let chain = &app.config.chain;
    Ok(Json(Info {
        status: "ok",
        kms_contract_addr: Address::new(chain.contract.to_bytes()).to_checksum(None),
        eth_rpc_url: app.names.first().cloned().unwrap_or_default(),
        gateway_app_id: app.gateway(head.unwrap_or(kms_types::BlockHash::ZERO)).await?,
        chain_id: chain.chain_id.0,
        app_auth_implementation: implementation.clone(),
        app_implementation: implementation,
    }))
}

async fn body(app: &App, request: Request) -> Result<Bytes, Failure> {
    let malformed = |detail| Failure::new(ProblemCode::Malformed, detail);
    let too_large = || {
        let detail = format!("body: expected at most {MAX_BODY} bytes, got more");
        Failure::new(ProblemCode::TooLarge, detail)
    };
    let (is_json, declared) = described_by(request.headers());
    if !is_json {
        return Err(malformed("content-type: expected application/json"));
    }
    if declared.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    match tokio::time::timeout(app.config.server.read_timeout(), body).await {
        Err(_) => Err(malformed(
            "body: expected it within the time limit, got a part of it",
        )),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(malformed("body: expected all of it, but it broke off")),
    }
}

/// Whether the body is said to be JSON, and of which length.
fn described_by(headers: &HeaderMap) -> (bool, Option<u64>) {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let is_json = kind.split(';').next().unwrap_or_default().trim() == "application/json";
    (
        is_json,
        text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
    )
}
