//! Releases a second of one node, with the load generator on the same cores: real HTTP over TLS, real quotes, SQLite on disk.
//! What the chain says is scripted, as a warm decision of the bridge costs no call. One JSON object on standard output.
//!
//! `cargo bench -p kms-node --bench releases -- [--seconds N] [--connections N]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub
)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use kms_types::ReportTag;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use support::{World, app_boot, client::Client};

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments
        .nth(1)
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1000.0
}

/// Requests made beforehand, so that what is measured is the node and not the platform's signatures.
async fn prepare(world: &World, count: usize) -> Vec<Vec<u8>> {
    let client = world.client();
    let boot = app_boot(1, 1);
    let td = world.td(&boot);
    let proof = world.image_proof();
    let mut bodies = Vec::with_capacity(count);
    for _ in 0..count {
        let challenge = client.challenge().await;
        let asking = client.evidence_over(
            challenge,
            proof.clone(),
            &td,
            boot.instance_seed,
            ReportTag::Release,
        );
        bodies.push(serde_json::to_vec(&asking.evidence).unwrap());
    }
    bodies
}

async fn post(client: &Client, body: Vec<u8>) -> Duration {
    let from = Instant::now();
    let request = client
        .http
        .post(format!("{}/v1/app-keys", client.base))
        .header("content-type", "application/json");
    let response = request.body(body).send().await.unwrap();
    let status = response.status();
    let body = response.bytes().await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    from.elapsed()
}

#[tokio::main]
async fn main() {
    let (connections, seconds) = (argument("--connections", 16) as usize, argument("--seconds", 8));
    let world = World::with("[log]\nfilter = \"error\"").await;
    let idle_mb = resident_mb();
    // Challenges last 60 s: as many as can be made and used within that.
    let bodies = prepare(&world, 4000 * seconds as usize).await;
    let total = bodies.len();
    let queue = Arc::new(std::sync::Mutex::new(bodies));
    let from = Instant::now();
    let lanes: Vec<_> = (0..connections)
        .map(|_| {
            let queue = Arc::clone(&queue);
            let mut client = world.client();
            client.http = support::client::https(&world.identity)
                .http1_only()
                .build()
                .unwrap();
            tokio::spawn(async move {
                let mut took = Vec::new();
                while from.elapsed().as_secs() < seconds {
                    let Some(body) = queue.lock().unwrap().pop() else {
                        break;
                    };
                    took.push(post(&client, body).await);
                }
                took
            })
        })
        .collect();
    let mut took = Vec::with_capacity(total);
    for lane in lanes {
        took.extend(lane.await.unwrap());
    }
    let elapsed = from.elapsed().as_secs_f64();
    took.sort_unstable();
    let metrics = world.client().get("/metrics").await.text().await.unwrap();
    let stages: serde_json::Map<String, serde_json::Value> = metrics
        .lines()
        .filter_map(|line| {
            line.strip_prefix("kedge_kms_stage_seconds_sum{stage=\"")?
                .split_once("\"} ")
        })
        .map(|(stage, sum)| {
            let mean_us = sum.parse::<f64>().unwrap_or(f64::NAN) * 1e6 / took.len() as f64;
            (stage.to_owned(), (mean_us.round() as u64).into())
        })
        .collect();
    let report = serde_json::json!({
        "releases": took.len(),
        "releases_per_s": (took.len() as f64 / elapsed).round(),
        "release_p50_ms": percentile(&took, 50),
        "release_p99_ms": percentile(&took, 99),
        "connections": connections,
        "rss_idle_mb": idle_mb.round(),
        "rss_with_load_generator_mb": resident_mb().round(),
        "stage_mean_us": stages,
    });
    println!("{report}");
}
