//! `kedge chain history`: what changed the policy, in the order of the chain. The node has proven every event against a
//! finalized header; here it is the node that is believed.

use crate::{
    cli::ChainHistory,
    node,
    output::{Output, line},
};
use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use kms_wire::{PolicyEvent, PolicyHistory};
use serde_json::json;
use std::path::Path;

/// Largest page that is read: 256 events with fields of 1 KiB.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// Lists policy events.
///
/// # Errors
/// When the node cannot be asked.
pub(crate) async fn list(state: &Path, asked: &ChainHistory, output: &Output) -> Result<()> {
    let url = node::url(state, asked.url.clone()).await?;
    let mut path = format!("/v1/policy/history?start={}", asked.from);
    if let Some(app) = &asked.app {
        path.push_str(&format!("&app_id={app}"));
    }
    let body = node::get(&url, &path, MAX_PAGE).await?;
    let page: PolicyHistory = serde_json::from_slice(&body).context("the answer of the KMS")?;
    if output.is_json() {
        line(json!({
            "ok": true, "events": page.events, "next": page.next, "blocks": page.blocks,
            "finalized": page.finalized, "degraded": page.degraded,
        }));
        return Ok(());
    }
    match page.events.as_slice() {
        [] => line("No policy changes there."),
        events => table(events),
    }
    match page.blocks {
        Some(blocks) => line(format_args!("Blocks {} to {} were read.", blocks.from, blocks.to)),
        None => line("No block was read yet."),
    }
    if let Some(why) = &page.degraded {
        line(format_args!("The node does not read on: {}", clean(why)));
    }
    if let Some(next) = page.next {
        line(format_args!("More: kedge chain history --from {next}"));
    }
    Ok(())
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn table(events: &[PolicyEvent]) {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["block", "time", "app", "event", "values"]);
    for event in events {
        let values: Vec<_> = event
            .fields
            .iter()
            .map(|field| format!("{}={}", field.name, field.value))
            .collect();
        let cells = [
            event.block.number.to_string(),
            event.time.to_string(),
            event
                .app_id
                .map_or_else(|| "network".to_owned(), |app| app.to_string()),
            event.event.clone(),
            values.join(" "),
        ];
        table.add_row(cells.map(|cell| clean(&cell)));
    }
    for row in table.to_string().lines() {
        line(row.trim_end());
    }
}
