//! `kedge chain decisions` and `kedge chain evidence`: what a node decided, and the file that proves one decision.

use crate::{
    cli::{ChainDecisions, ChainEvidence},
    exit::Refused,
    node,
    output::{Output, line},
};
use anyhow::{Context, Result};
use authority_policy::{DecisionEvidence, Expected, MAX_FILE};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use kms_wire::{DecisionSubject, HeadStanding, PolicyDecision, PolicyDecisions};
use serde_json::json;
use std::{io::Write, path::Path};

/// Largest page that is read: 256 decisions with reasons of 4 KiB.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// Lists decisions.
///
/// # Errors
/// When the node cannot be asked.
pub(crate) async fn list(state: &Path, asked: &ChainDecisions, output: &Output) -> Result<()> {
    let url = node::url(state, asked.url.clone()).await?;
    let mut path = format!("/v1/policy/decisions?start={}&count={}", asked.start, asked.count);
    if let Some(app) = &asked.app {
        path.push_str(&format!("&app_id={app}"));
    }
    let body = node::get(&url, &path, MAX_PAGE).await?;
    let page: PolicyDecisions = serde_json::from_slice(&body).context("the answer of the KMS")?;
    if output.is_json() {
        line(json!({ "ok": true, "decisions": page.decisions, "next": page.next }));
        return Ok(());
    }
    if page.decisions.is_empty() {
        line("No decisions there.");
    }
    table(&page.decisions);
    if let Some(next) = page.next {
        line(format_args!("More: kedge chain decisions --start {next}"));
    }
    Ok(())
}

fn table(decisions: &[PolicyDecision]) {
    if decisions.is_empty() {
        return;
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([
            "id", "time", "about", "app", "decision", "head", "standing", "evidence",
        ]);
    for decision in decisions {
        let about = match decision.subject {
            DecisionSubject::App => "app",
            DecisionSubject::Kms => "KMS node",
        };
        let said = match &decision.reason {
            _ if decision.allowed => "allowed".to_owned(),
            reason => format!("denied: {}", reason.as_deref().unwrap_or_default()),
        };
        let standing = match decision.standing {
            HeadStanding::Open => "not final",
            HeadStanding::Final => "final",
            HeadStanding::Orphaned => "ORPHANED",
        };
        let kept = match (&decision.no_evidence, decision.evidence) {
            (_, true) => "kept".to_owned(),
            (why, false) => format!("no evidence kept: {}", why.as_deref().unwrap_or("unknown")),
        };
        let cells = [
            decision.id.to_string(),
            decision.time.to_string(),
            about.to_owned(),
            decision.app_id.to_string(),
            said,
            decision.head.number.to_string(),
            standing.to_owned(),
            kept,
        ];
        table.add_row(cells.map(|cell| cell.chars().filter(|c| !c.is_control()).collect::<String>()));
    }
    for row in table.to_string().lines() {
        line(row.trim_end());
    }
}

/// Saves the file of one decision, to standard output unless a name is given.
///
/// # Errors
/// When the node cannot be asked, keeps no evidence, or gives a file that does not hold.
pub(crate) async fn save(state: &Path, asked: &ChainEvidence, output: &Output) -> Result<()> {
    let url = node::url(state, asked.url.clone()).await?;
    let path = format!("/v1/policy/decisions/{}/evidence", asked.id);
    let file = node::get(&url, &path, MAX_FILE).await?;
    // A file that is found wrong years later cannot be asked for again.
    let evidence = DecisionEvidence::from_json(&file)
        .map_err(|error| Refused(format!("the KMS gives no evidence: {error}")))?;
    let report = evidence.check(&Expected::default());
    report
        .outcome
        .map_err(|mismatch| Refused(format!("the KMS gives evidence that does not hold: {mismatch}")))?;
    let Some(name) = &asked.out else {
        let mut out = std::io::stdout();
        out.write_all(&file)?;
        return Ok(out.write_all(b"\n")?);
    };
    std::fs::write(name, &file).with_context(|| format!("{}", name.display()))?;
    output.result(
        "Saved",
        &[
            ("file", json!(name)),
            ("bytes", json!(file.len())),
            ("head", json!(evidence.head.hash)),
            ("finalized", json!(evidence.finalized.hash)),
        ],
    );
    Ok(())
}
