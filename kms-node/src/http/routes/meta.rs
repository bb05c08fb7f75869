//! Public facts about the node.

use crate::{app::App, http::ApiError, root};
use axum::{Json as Answer, extract::State};
use kms_wire::{Meta, Problem};
use std::sync::Arc;

/// Identities, chain, contract, newest blocks, newest tree head. Answers also while the node may not release.
#[utoipa::path(get, path = "/v1/meta", responses(
    (status = 200, body = Meta),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn meta(State(app): State<Arc<App>>) -> Result<Answer<Meta>, ApiError> {
    let status = app.authority.status();
    let epochs = app
        .epochs
        .newest_first()
        .map(|keys| root::public(keys))
        .collect::<Result<_, _>>();
    Ok(Answer(Meta {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        chain_id: app.config.chain.chain_id,
        kms_authority: app.config.chain.contract,
        epochs: epochs.map_err(|error| ApiError::internal(&error))?,
        head: status.head,
        finalized: status.finalized,
        tree_head: app.reader.head().await?,
        development: app.config.chain.development,
    }))
}
