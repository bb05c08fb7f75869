//! Certificates under an app's CA.

use crate::{
    app::App,
    http::{ApiError, body::Json},
};
use axum::{Json as Answer, extract::State};
use kms_protocol::{Purpose, check_request};
use kms_wire::{CertificateRequest, CertificateResponse, MAX_BODY, Problem};
use std::sync::Arc;

/// A short-lived certificate for a running instance: leaf, app CA, KMS CA.
#[utoipa::path(post, path = "/v1/certificates", request_body = CertificateRequest, responses(
    (status = 200, body = CertificateResponse),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn certificate(
    State(app): State<Arc<App>>,
    Json(request, _room): Json<CertificateRequest, MAX_BODY>,
) -> Result<Answer<CertificateResponse>, ApiError> {
    check_request(&request)?;
    let request = Arc::new(request);
    let granted = app
        .grant(Arc::new(request.evidence.clone()), Purpose::Certificate)
        .await?;
    let seconds = app.config.keys.certificate_s;
    let answer = app
        .compute(move || {
            kms_protocol::certificate(
                &granted.evidence,
                &request,
                granted.decision,
                &granted.log,
                granted.now,
                seconds,
            )
        })
        .await??;
    Ok(Answer(answer))
}
