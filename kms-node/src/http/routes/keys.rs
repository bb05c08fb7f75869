//! Challenges, app keys and leases.

use crate::{
    app::App,
    http::{
        ApiError,
        body::{Json, NoBody},
    },
    metrics::Stage,
};
use axum::{Json as Answer, extract::State};
use kms_protocol::Purpose;
use kms_wire::{AppKeysResponse, ChallengeResponse, Evidence, LeaseResponse, MAX_BODY, Problem};
use std::{sync::Arc, time::Instant};

/// A fresh challenge: valid here, once, for 60 s.
#[utoipa::path(post, path = "/v1/challenges", responses(
    (status = 200, body = ChallengeResponse),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn challenge(
    State(app): State<Arc<App>>,
    _: NoBody,
) -> Result<Answer<ChallengeResponse>, ApiError> {
    let now = app.now()?;
    let (_, rule) = app.network()?;
    let keys = app
        .epochs
        .select(None, &rule)
        .map_err(kms_protocol::Refusal::from)?;
    let (challenge, expires_at) = app.challenges.issue(rand::random(), now);
    Ok(Answer(ChallengeResponse {
        challenge,
        expires_at,
        kms_identity: keys.identity().kms_identity,
    }))
}

/// Keys of an app's instance, sealed to the key inside its quote.
#[utoipa::path(post, path = "/v1/app-keys", request_body = Evidence, responses(
    (status = 200, body = AppKeysResponse),
    (status = 400, description = "malformed", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "attestation_failed: check, expected, actual", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "denied: reason, block", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "stale_challenge", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "too_large", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "rate_limited", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "chain_*, collateral_unavailable, node_not_allowed, log_unavailable, busy", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn app_keys(
    State(app): State<Arc<App>>,
    Json(evidence, _room): Json<Evidence, MAX_BODY>,
) -> Result<Answer<AppKeysResponse>, ApiError> {
    let granted = app.grant(Arc::new(evidence), Purpose::AppKeys).await?;
    let worker = Arc::clone(&app);
    let answer = app
        .compute(move || {
            let mut at = Instant::now();
            let answer = kms_protocol::release(
                &granted.evidence,
                granted.decision,
                granted.log,
                granted.gateway_app_id,
                &mut rand::rng(),
            );
            worker.metrics.stage(Stage::Seal, &mut at);
            answer
        })
        .await??;
    Ok(Answer(answer))
}

/// A lease for a running instance: a JWS that others check offline.
#[utoipa::path(post, path = "/v1/leases", request_body = Evidence, responses(
    (status = 200, body = LeaseResponse),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn lease(
    State(app): State<Arc<App>>,
    Json(evidence, _room): Json<Evidence, MAX_BODY>,
) -> Result<Answer<LeaseResponse>, ApiError> {
    let granted = app.grant(Arc::new(evidence), Purpose::Lease).await?;
    let seconds = app.config.keys.lease_s;
    let lease = app
        .compute(move || {
            kms_protocol::lease(
                &granted.evidence,
                granted.decision,
                granted.log,
                granted.now,
                seconds,
            )
        })
        .await??;
    Ok(Answer(lease))
}
