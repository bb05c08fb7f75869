//! The release log: everyone may read it and have it proven.

use crate::{
    app::App,
    http::{ApiError, body::Params},
};
use axum::{Json as Answer, extract::State};
use kms_wire::{AppId, ConsistencyProof, InclusionProof, LogEntries, Problem, ProblemCode, SignedTreeHead};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    /// Index of the first entry.
    #[serde(default)]
    start: u64,
    /// Entries wanted, at most 256.
    count: Option<u32>,
    /// Only of this app.
    #[param(value_type = Option<String>)]
    app_id: Option<AppId>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct InclusionParams {
    /// Index of the leaf.
    index: u64,
    /// Size of the tree.
    tree_size: u64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsistencyParams {
    /// Older size.
    first: u64,
    /// Newer size.
    second: u64,
}

fn outside(what: &str) -> ApiError {
    ApiError::new(
        ProblemCode::NotFound,
        format!("{what}: expected one inside the newest tree, got one outside"),
    )
}

/// The newest signed tree head.
#[utoipa::path(get, path = "/v1/log/head", responses(
    (status = 200, body = SignedTreeHead),
    (status = 404, description = "not_found: the log is empty", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn head(State(app): State<Arc<App>>) -> Result<Answer<SignedTreeHead>, ApiError> {
    let head = app.reader.head().await?;
    head.map(Answer)
        .ok_or_else(|| ApiError::new(ProblemCode::NotFound, "the log is empty"))
}

/// A page of entries, of one app or of all.
#[utoipa::path(get, path = "/v1/log/entries", params(PageParams), responses(
    (status = 200, body = LogEntries),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn entries(
    State(app): State<Arc<App>>,
    Params(page): Params<PageParams>,
) -> Result<Answer<LogEntries>, ApiError> {
    let count = page.count.unwrap_or(u32::MAX);
    Ok(Answer(app.reader.entries(page.start, count, page.app_id).await?))
}

/// Proof that an entry is in a tree.
#[utoipa::path(get, path = "/v1/log/inclusion", params(InclusionParams), responses(
    (status = 200, body = InclusionProof),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn inclusion(
    State(app): State<Arc<App>>,
    Params(asked): Params<InclusionParams>,
) -> Result<Answer<InclusionProof>, ApiError> {
    let proof = app.reader.inclusion(asked.index, asked.tree_size).await?;
    proof.map(Answer).ok_or_else(|| outside("index and tree_size"))
}

/// Proof that an older tree is a prefix of a newer one.
#[utoipa::path(get, path = "/v1/log/consistency", params(ConsistencyParams), responses(
    (status = 200, body = ConsistencyProof),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn consistency(
    State(app): State<Arc<App>>,
    Params(asked): Params<ConsistencyParams>,
) -> Result<Answer<ConsistencyProof>, ApiError> {
    let proof = app.reader.consistency(asked.first, asked.second).await?;
    proof.map(Answer).ok_or_else(|| outside("first and second"))
}
