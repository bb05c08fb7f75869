//! What is shown of instances: a table, one in full, log lines.

use super::{control, instance, instance::Instance, supervisor};
use crate::{
    exit::Refused,
    output::{Output, line, print_rows, text},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::{io::Write, path::Path, time::Duration};

/// Bytes of one log line.
const MAX_LINE: usize = 1 << 20;

/// What a deploy ends with.
///
/// # Errors
/// When the agent does not answer.
pub(super) async fn deployed(instance: &Instance, name: &str, took: Duration, output: &Output) -> Result<()> {
    let status = control::get(instance, "/v1/status").await?;
    let containers = control::get(instance, "/v1/containers").await?;
    let ports: Vec<Value> = each(&containers, "ports").flat_map(list_of).cloned().collect();
    output.result(
        &format!("{name} is up"),
        &[
            ("name", name.into()),
            ("app", at(&status, "/app_id")),
            ("instance", at(&status, "/instance_id")),
            ("compose hash", at(&status, "/compose_hash")),
            ("published ports", ports.into()),
            ("app socket", json!(instance.paths().dstack_socket())),
            (
                "protection",
                "NONE: software TD, folder of this machine; for development".into(),
            ),
            ("seconds", json!((took.as_secs_f64() * 1000.0).round() / 1000.0)),
        ],
    );
    Ok(())
}

/// Every instance.
///
/// # Errors
/// When the folder cannot be read.
pub(super) async fn list(state: &Path, output: &Output) -> Result<()> {
    let mut rows = Vec::new();
    for listed in instance::all(state)? {
        let (app, known) = match listed.record {
            Ok(record) => (json!(record.app_id), overview(&listed.instance).await),
            Err(error) => (json!(null), Err(error)),
        };
        let mut row = known.unwrap_or_else(|error| {
            vec![
                ("state", json!(format!("broken: {error:#}"))),
                ("containers", json!(null)),
                ("ports", json!([])),
                ("lease", json!("–")),
            ]
        });
        row.insert(0, ("app", app));
        row.insert(0, ("name", listed.name.into()));
        rows.push(row);
    }
    if output.is_json() {
        let rows: Vec<Value> = rows
            .into_iter()
            .map(|row| {
                row.into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            })
            .collect();
        line(json!({ "ok": true, "instances": rows }));
        return Ok(());
    }
    if rows.is_empty() {
        line("no instances: `kedge deploy docker-compose.yml` makes one");
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["NAME", "STATE", "CONTAINERS", "PORTS", "LEASE", "APP"]);
    for row in &rows {
        let get = |name: &str| {
            let found = row.iter().find(|(key, _)| *key == name);
            found.map_or_else(String::new, |(_, value)| text(value))
        };
        table.add_row(["name", "state", "containers", "ports", "lease", "app"].map(get));
    }
    for row in table.to_string().lines() {
        line(row.trim_end());
    }
    Ok(())
}

/// State, containers, ports and lease of one instance.
async fn overview(instance: &Instance) -> Result<Vec<(&'static str, Value)>> {
    let row = |state: &str, containers: Value, ports: Value, lease: &str| {
        vec![
            ("state", json!(state)),
            ("containers", containers),
            ("ports", ports),
            ("lease", json!(lease)),
        ]
    };
    if !supervisor::alive(instance)? {
        let why = match instance.paths().read_progress() {
            Ok(progress) if progress.state == guest_files::StageState::Failed => {
                format!("failed at {}: {}", progress.stage, progress.message)
            }
            _ => "stopped".to_owned(),
        };
        return Ok(row(&why, json!(null), json!([]), "–"));
    }
    let Ok(status) = control::get(instance, "/v1/status").await else {
        return Ok(row("starting", json!(null), json!([]), "–"));
    };
    let phase = text(&at(&status, "/app/phase"));
    let message = at(&status, "/app/message");
    let state = match message.as_str() {
        Some(message) => format!("{phase}: {message}"),
        None => phase,
    };
    let containers = control::get(instance, "/v1/containers").await.unwrap_or_default();
    let running = each(&containers, "state")
        .filter(|state| *state == "running")
        .count();
    let count = each(&containers, "state").count();
    let ports: Vec<Value> = each(&containers, "ports").flat_map(list_of).cloned().collect();
    let mut lease = text(&at(&status, "/lease/phase"));
    if let Some(cause) = at(&status, "/lease/cause").as_str() {
        lease.push_str(": ");
        lease.push_str(cause);
    }
    Ok(row(
        &state,
        json!(format!("{running}/{count}")),
        ports.into(),
        &lease,
    ))
}

/// Everything about one instance.
///
/// # Errors
/// When it runs and its agent does not answer.
pub(super) async fn inspect(instance: &Instance, name: &str, output: &Output) -> Result<()> {
    let mut rows = vec![
        ("name", json!(name)),
        ("running", json!(supervisor::alive(instance)?)),
        ("folder", json!(instance.folder())),
    ];
    if let Ok(handover) = instance.paths().read_handover() {
        rows.extend([
            ("app", json!(handover.app_id)),
            ("instance", json!(handover.instance_id)),
            ("compose hash", json!(handover.compose_hash)),
            ("OS image", json!(handover.os_image_hash)),
            ("keys from", json!(handover.key_provider)),
            ("storage encrypted", json!(handover.storage.encrypted)),
            ("simulated", json!(handover.simulated)),
            ("environment version", json!(handover.env_version)),
        ]);
    }
    if supervisor::alive(instance)? {
        let status = control::get(instance, "/v1/status").await?;
        rows.push(("app state", at(&status, "/app")));
        let mut lease = at(&status, "/lease");
        // The token lets its holder act as the app towards the gateway.
        if let Some(lease) = lease.as_object_mut() {
            lease.remove("token");
        }
        rows.push(("lease", lease));
        let containers = control::get(instance, "/v1/containers").await?;
        rows.push(("containers", at(&containers, "/containers")));
        rows.push(("events", at(&status, "/events")));
    } else if let Ok(progress) = instance.paths().read_progress() {
        rows.push(("last boot", serde_json::to_value(progress)?));
    }
    if output.is_json() {
        output.result("", &rows);
    } else {
        print_rows(&rows);
    }
    Ok(())
}

/// Log lines of an instance.
///
/// # Errors
/// When it does not run, or has no such service.
pub(super) async fn logs(
    instance: &Instance,
    service: Option<&str>,
    follow: bool,
    tail: Option<usize>,
) -> Result<()> {
    let mut path = format!("/v1/logs?follow={follow}");
    if let Some(service) = service {
        // Names of services have no character that means something in a query.
        if !service
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            return Err(Refused(format!("there is no service {service:?}")).into());
        }
        path.push_str(&format!("&service={service}"));
    }
    if let Some(tail) = tail {
        path.push_str(&format!("&tail={tail}"));
    }
    let mut answer = control::stream(instance, &path).await?;
    let mut rest = Vec::new();
    while let Some(part) = answer.chunk().await? {
        rest.extend_from_slice(&part);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = rest.drain(..=end).collect();
            print(&whole)?;
        }
        if rest.len() > MAX_LINE {
            anyhow::bail!("a log line of more than {MAX_LINE} bytes");
        }
    }
    Ok(())
}

fn print(entry: &[u8]) -> Result<()> {
    let entry: Value = serde_json::from_slice(entry)?;
    let field = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    // What an app writes must not steer the terminal of whoever reads it.
    let words: String = field("text")
        .chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect();
    Ok(writeln!(std::io::stdout(), "{}  {words}", field("service"))?)
}

fn at(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).cloned().unwrap_or_default()
}

/// A field of every container.
fn each<'a>(containers: &'a Value, field: &'a str) -> impl Iterator<Item = &'a Value> {
    let all = containers.get("containers").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter_map(move |container| container.get(field))
}

fn list_of(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
