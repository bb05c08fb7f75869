//! Policy events of finalized blocks, proven when they were stored.

use crate::{
    app::App,
    http::{ApiError, body::Params},
};
use authority_bridge::store::{MAX_PAGE, StoredEvent};
use axum::{Json as Answer, extract::State};
use kms_wire::{AppId, EventField, HistoryRange, PolicyEvent, PolicyHistory, Problem};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams {
    /// Index of the first event.
    #[serde(default)]
    start: u64,
    /// Events wanted, at most 256.
    count: Option<u32>,
    /// Only about this app.
    #[param(value_type = Option<String>)]
    app_id: Option<AppId>,
}

/// A page of policy events of finalized blocks, oldest first, about one app or about all.
#[utoipa::path(get, path = "/v1/policy/history", params(HistoryParams), responses(
    (status = 200, body = PolicyHistory),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn history(
    State(app): State<Arc<App>>,
    Params(page): Params<HistoryParams>,
) -> Result<Answer<PolicyHistory>, ApiError> {
    let count = page.count.unwrap_or(MAX_PAGE);
    let start = page.start.min(i64::MAX.unsigned_abs());
    let range = app.chain.history().await?;
    let found = app.chain.events(start, count, page.app_id).await?;
    let audited = app
        .audited
        .get()
        .map(|status| status.borrow().clone())
        .unwrap_or_default();
    Ok(Answer(PolicyHistory {
        events: found.events.into_iter().map(told).collect(),
        next: found.next,
        blocks: range.map(|range| HistoryRange {
            from: range.from,
            to: range.to,
        }),
        finalized: audited.target.map(|block| block.number),
        degraded: audited.degraded,
    }))
}

fn told(event: StoredEvent) -> PolicyEvent {
    PolicyEvent {
        block: event.block,
        time: event.time,
        transaction_index: event.transaction,
        log_index: event.log_index,
        emitter: event.emitter,
        app_id: event.app,
        event: event.event,
        fields: event
            .fields
            .into_iter()
            .map(|field| EventField {
                name: field.name,
                value: field.value,
            })
            .collect(),
    }
}
