//! The figures of docs/benchmarks.md, measured over the real thing: verification in this process; releases and revocation
//! at a node that runs as a process of its own, over TLS, with a real chain. Load and node share the machine's cores.

mod evidence;
mod load;
mod revocation;
mod verify;

use crate::{Network, NetworkOptions, NodeOptions};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Compose document of the measured app.
const COMPOSE: &[u8] = br#"{"manifest_version":2,"name":"bench","runner":"docker-compose"}"#;

/// Measures everything and writes the figures.
///
/// # Errors
/// When a part does not start, or a release does not do what it should.
pub async fn run() -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("bench: built without optimisation; figures mean nothing (use `make bench`)");
    }
    let mut figures = serde_json::Map::new();
    let machine = json!({ "cores": std::thread::available_parallelism().map_or(0, usize::from) });
    figures.insert("machine".to_owned(), machine);
    let network = Network::start(NetworkOptions {
        node: Some(unlimited()),
        ..NetworkOptions::default()
    })
    .await?;
    eprintln!("bench: verification");
    verify::measure(&network, &mut figures)?;
    eprintln!("bench: releases");
    let mut network = network;
    load::measure(&mut network, &mut figures).await?;
    eprintln!("bench: revocation");
    revocation::measure(&mut network, &mut figures).await?;
    network.stop().await?;
    let text = serde_json::to_string_pretty(&Value::Object(figures))?;
    let file = target().join("bench.json");
    std::fs::write(&file, &text).with_context(|| file.display().to_string())?;
    eprintln!("bench: written to {}", file.display());
    println!("{text}");
    Ok(())
}

/// Rate limits out of the way: one platform and one app ask for everything here.
fn unlimited() -> NodeOptions {
    let keys = [
        "peer_per_s",
        "peer_burst",
        "device_per_s",
        "device_burst",
        "app_per_s",
        "app_burst",
    ];
    let options = NodeOptions::default().set("log", "filter", "warn");
    keys.into_iter()
        .fold(options, |options, key| options.set("limits", key, 1_000_000))
}

/// The target folder this program was built into.
fn target() -> PathBuf {
    let running = std::env::current_exe().ok();
    let target = running
        .as_deref()
        .and_then(|file| file.ancestors().nth(2))
        .map(PathBuf::from);
    target.unwrap_or_else(|| PathBuf::from("target"))
}

fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50.0)
}

/// The value that so many per cent of the others do not exceed.
fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    values
        .get((last * percent / 100.0).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

fn rounded(value: f64) -> Value {
    json!((value * 100.0).round() / 100.0)
}
