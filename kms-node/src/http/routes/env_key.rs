//! The key that app owners encrypt the environment to.

use crate::{
    app::App,
    http::{ApiError, body::Params},
};
use axum::{
    Json as Answer,
    extract::{Path, State, rejection::PathRejection},
};
use kms_protocol::Refusal;
use kms_wire::{AppId, Blob, EnvPublicKey, KeyEpoch, Problem};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct EpochParam {
    /// Epoch; the current one when absent.
    key_epoch: Option<u32>,
}

/// The app's environment key, with both signatures of the KMS.
#[utoipa::path(get, path = "/v1/apps/{app_id}/env-public-key", params(("app_id" = String, Path, description = "20 bytes, hex"), EpochParam), responses(
    (status = 200, body = EnvPublicKey),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn env_public_key(
    State(app): State<Arc<App>>,
    path: Result<Path<AppId>, PathRejection>,
    Params(params): Params<EpochParam>,
) -> Result<Answer<EnvPublicKey>, ApiError> {
    let Path(app_id) = path.map_err(|error| ApiError::malformed(format!("app_id: {}", error.body_text())))?;
    let time = app.now()?;
    let (_, rule) = app.network()?;
    let keys = app
        .epochs
        .select(params.key_epoch.map(KeyEpoch), &rule)
        .map_err(Refusal::from)?;
    let key_epoch = keys.key_epoch();
    let signed = app
        .compute(move || keys.sign_env_public_key(&app_id, time))
        .await?
        .map_err(Refusal::from)?;
    let blob = |_| ApiError::internal(&Refusal::Sealing { limit: 65 });
    Ok(Answer(EnvPublicKey {
        app_id,
        key_epoch,
        public_key: Blob::new(signed.public_key.to_vec()).map_err(blob)?,
        time,
        signature: Blob::new(signed.signature.to_vec()).map_err(blob)?,
        legacy_signature: Blob::new(signed.legacy_signature.to_vec()).map_err(blob)?,
    }))
}
