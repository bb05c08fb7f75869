//! Decisions this node has made, and the evidence anyone can check them by.

use crate::{
    app::App,
    http::{ApiError, body::Params},
    store::StoreError,
};
use authority_bridge::{
    Finality, Subject, Verdict,
    store::{MAX_DECISIONS, Standing, StoredDecision},
};
use axum::{
    Json as Answer,
    extract::{Path, State, rejection::PathRejection},
    http::header,
    response::IntoResponse,
};
use kms_wire::{
    AppId, DecidedBy, DecisionSubject, HeadStanding, PolicyDecision, PolicyDecisions, Problem, ProblemCode,
};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionParams {
    /// Number of the first decision.
    #[serde(default)]
    start: u64,
    /// Decisions wanted, at most 256.
    count: Option<u32>,
    /// Only about this app.
    #[param(value_type = Option<String>)]
    app_id: Option<AppId>,
}

/// A page of decisions, about one app or about all. The oldest are thrown away (`history` in the configuration).
#[utoipa::path(get, path = "/v1/policy/decisions", params(DecisionParams), responses(
    (status = 200, body = PolicyDecisions),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn decisions(
    State(app): State<Arc<App>>,
    Params(page): Params<DecisionParams>,
) -> Result<Answer<PolicyDecisions>, ApiError> {
    let count = page.count.unwrap_or(MAX_DECISIONS).clamp(1, MAX_DECISIONS);
    let start = page.start.min(i64::MAX.unsigned_abs());
    let mut found = app.chain.decisions(start, count + 1, page.app_id).await?;
    let next = (found.len() > count as usize).then(|| found.pop()).flatten();
    Ok(Answer(PolicyDecisions {
        decisions: found.into_iter().map(told).collect(),
        next: next.map(|decision| decision.id),
    }))
}

/// What proves a decision: a file for `kedge verify decision`. Its format is `kedge/decision/v1`.
#[utoipa::path(get, path = "/v1/policy/decisions/{id}/evidence",
    params(("id" = u64, Path, description = "Number of the decision")),
    responses(
        (status = 200, description = "the file", content_type = "application/json", body = Object),
        (status = 404, description = "not_found: no such decision, or no evidence was kept", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn evidence(
    State(app): State<Arc<App>>,
    path: Result<Path<u64>, PathRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Path(id) = path.map_err(|error| ApiError::malformed(format!("id: {}", error.body_text())))?;
    let none = |detail: String| ApiError::new(ProblemCode::NotFound, detail);
    let absent = || none(format!("decision {id}: there is none, or it was thrown away"));
    let id = Some(id)
        .filter(|id| *id <= i64::MAX.unsigned_abs())
        .ok_or_else(absent)?;
    let kept = app.chain.decision_evidence(id).await?.ok_or_else(absent)?;
    let kept = kept.map_err(|why| none(format!("decision {id}: no evidence was kept: {why}")))?;
    let file = app.compute(move || kept.to_json()).await?;
    let file = file.map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], file))
}

fn told(decision: StoredDecision) -> PolicyDecision {
    let (allowed, reason) = match decision.verdict {
        Verdict::Allowed => (true, None),
        Verdict::Denied { reason } => (false, Some(reason)),
    };
    PolicyDecision {
        id: decision.id,
        subject: match decision.subject {
            Subject::App => DecisionSubject::App,
            Subject::Kms => DecisionSubject::Kms,
        },
        app_id: decision.app_id,
        record_hash: decision.record_hash,
        allowed,
        reason,
        decided_by: match decision.decided_by {
            Finality::Head => DecidedBy::Head,
            Finality::Finalized => DecidedBy::Finalized,
        },
        head: decision.head,
        finalized: decision.finalized,
        time: decision.time,
        standing: match decision.standing {
            Standing::Open => HeadStanding::Open,
            Standing::Final => HeadStanding::Final,
            Standing::Orphaned => HeadStanding::Orphaned,
        },
        evidence: decision.missing.is_none(),
        no_evidence: decision.missing,
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Sql(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "database");
                Self::new(ProblemCode::LogUnavailable, "the database does not answer")
            }
            error => Self::internal(&error),
        }
    }
}
