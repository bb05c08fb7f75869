//! The measured process: a bridge and nothing else. It follows the world over two endpoints that must agree, is asked
//! about some apps, and then sees blocks in which nothing, what it uses, or what it does not use changes.

use crate::{fixture, serve::Count, world};
use alloy::primitives::B256;
use async_trait::async_trait;
use authority_bridge::{
    Bridge, BridgeConfig, BridgeError, EndpointStatus, HeaderSource, Quorum, Subject, SystemClock, Tip,
};
use authority_policy::ProvenHeader;
use fixture::{MemoryFloor, record, until};
use futures_util::{StreamExt, TryStreamExt, stream};
use kms_types::{AppId, BootRecord, ChainAddress, ChainId};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const CHANGES: usize = 100;
const REPEAT: usize = 5;

/// The quorum, with a note of when the step began that first saw a head.
struct Watched {
    quorum: Quorum,
    seen: Arc<Mutex<HashMap<B256, (Instant, u64)>>>,
}

#[async_trait]
impl HeaderSource for Watched {
    fn name(&self) -> &str {
        self.quorum.name()
    }
    async fn tip(&self) -> Result<Tip, BridgeError> {
        let start = (Instant::now(), cpu_ns());
        let tip = self.quorum.tip().await?;
        let mut seen = self.seen.lock().unwrap();
        seen.entry(tip.head.hash()).or_insert(start);
        Ok(tip)
    }
    async fn by_hash(&self, hash: B256) -> Result<Option<ProvenHeader>, BridgeError> {
        self.quorum.by_hash(hash).await
    }
    async fn range(&self, from: u64, to: u64) -> Result<Vec<ProvenHeader>, BridgeError> {
        self.quorum.range(from, to).await
    }
    async fn ancestors(&self, head: &ProvenHeader, to: u64) -> Result<Vec<Arc<ProvenHeader>>, BridgeError> {
        self.quorum.ancestors(head, to).await
    }
    fn endpoints(&self) -> Vec<EndpointStatus> {
        self.quorum.endpoints()
    }
}

/// CPU time of all threads of this process.
fn cpu_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok())
    };
    tasks.filter_map(|task| of(task.ok()?.path())).sum()
}

fn rss_mb(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

struct Run {
    bridge: Bridge,
    seen: Arc<Mutex<HashMap<B256, (Instant, u64)>>>,
    client: reqwest::Client,
    url: String,
    apps: usize,
    /// Memory before the bridge was there.
    before: f64,
}

fn asked(index: usize) -> BootRecord {
    record(AppId::new(world::app(index).0.0))
}

fn median<T: Copy + PartialOrd>(values: &mut [T]) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[values.len() / 2]
}

/// One block.
struct Step {
    wall_us: u64,
    cpu_us: u64,
    count: Count,
}

impl Run {
    async fn world<T: serde::de::DeserializeOwned>(&self, method: &str, params: Value) -> T {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let sent = self.client.post(&self.url).json(&body).send().await.unwrap();
        let mut answer: Value = sent.json().await.unwrap();
        serde_json::from_value(answer["result"].take()).unwrap()
    }

    /// Asks about apps, sixteen at a time, and says how many were allowed.
    async fn decide(&self, apps: impl IntoIterator<Item = usize>) -> Result<usize, BridgeError> {
        let records: Vec<BootRecord> = apps.into_iter().map(asked).collect();
        let ask = |record| async move { self.bridge.decide(Subject::App, &record).await };
        stream::iter(records.into_iter().map(ask))
            .buffer_unordered(16)
            .try_fold(0, |sum, decided| async move {
                Ok(sum + usize::from(decided.is_allowed()))
            })
            .await
    }

    /// A block in which these apps change.
    async fn block(&self, changed: &[usize], revoke: bool) -> Step {
        let _: Count = self.world("world_count", json!([])).await;
        let number: u64 = self.world("world_mine", json!([changed, revoke])).await;
        let reached = |head: &kms_types::ProvenBlock| head.number >= number;
        let status = until(&self.bridge, |status| status.head.as_ref().is_some_and(reached)).await;
        let (end, cpu) = (Instant::now(), cpu_ns());
        let hash = B256::new(status.head.unwrap().hash.to_bytes());
        let (start, before) = self.seen.lock().unwrap()[&hash];
        Step {
            wall_us: (end - start).as_micros() as u64,
            cpu_us: cpu.saturating_sub(before) / 1000,
            count: self.world("world_count", json!([])).await,
        }
    }

    /// Median over blocks of one kind. Between them the change becomes final.
    async fn blocks(&self, kind: &str, used: usize, changed: &[usize]) {
        let mut steps = Vec::new();
        for round in 0..REPEAT {
            let revoke = round % 2 == 0;
            steps.push(self.block(changed, revoke).await);
            if let Some(first) = changed.iter().find(|index| **index < used) {
                let allowed = self.decide([*first]).await.unwrap() == 1;
                assert!(
                    !allowed,
                    "a removal counts at once, an allowance when it is final"
                );
            }
            for _ in 0..3 {
                self.block(&[], false).await;
            }
        }
        let pick = |of: fn(&Step) -> u64| {
            let mut values: Vec<u64> = steps.iter().map(of).collect();
            median(&mut values)
        };
        println!(
            "| {:>7} | {used:>6} | {kind:<24} | {:>5} | {:>5} | {:>6} | {:>7.1} | {:>8.1} | {:>8.1} | {:>8.1} |",
            self.apps,
            pick(|step| step.count.http),
            pick(|step| step.count.calls),
            pick(|step| step.count.proofs),
            pick(|step| step.count.bytes) as f64 / 1024.0,
            pick(|step| step.wall_us) as f64 / 1000.0,
            pick(|step| step.count.us) as f64 / 1000.0,
            pick(|step| step.cpu_us) as f64 / 1000.0,
        );
        // An odd number of rounds ends revoked: back to where it began.
        self.block(changed, false).await;
        for _ in 0..3 {
            self.block(&[], false).await;
        }
    }

    async fn stage(&self, from: usize, used: usize) {
        let start = Instant::now();
        let allowed = self.decide(from..used).await.unwrap();
        assert_eq!(allowed, used - from);
        let spent = start.elapsed();
        for _ in 0..3 {
            self.block(&[], false).await;
        }
        let (now, peak) = (rss_mb("VmRSS"), rss_mb("VmHWM"));
        let proven = self.bridge.status().proven;
        println!(
            "# {} registered, {used} asked about: {:.0} new decisions in {spent:.2?} ({:.2?} each), RSS {now:.1} MB, {:.1} MB above before \
             (peak {peak:.1}), proven {proven:?}",
            self.apps,
            used - from,
            spent / (used - from) as u32,
            now - self.before,
        );
        let hot = Instant::now();
        for _ in 0..1000 {
            let record = asked(used - 1);
            assert!(
                self.bridge
                    .decide(Subject::App, &record)
                    .await
                    .unwrap()
                    .is_allowed()
            );
        }
        println!("#   hot, the last app again: {:.2?} each", hot.elapsed() / 1000);
        self.block(&[], false).await;
        let many = used.min(1000);
        let again = Instant::now();
        for index in used - many..used {
            let decided = self.bridge.decide(Subject::App, &asked(index)).await.unwrap();
            assert!(decided.is_allowed());
        }
        println!(
            "#   after a block, the last {many} again: {:.2?} each",
            again.elapsed() / many as u32
        );
    }
}

pub async fn follow(urls: Vec<String>, contract: ChainAddress, apps: usize, stages: &[usize]) {
    let before = rss_mb("VmRSS");
    let endpoints = urls
        .iter()
        .map(|url| url::Url::parse(url).unwrap().into())
        .collect();
    let config = BridgeConfig {
        poll_interval: Duration::from_millis(20),
        development: true,
        max_head_age_s: 86_400,
        ..BridgeConfig::new(ChainId(31337), contract, endpoints)
    };
    let start = Instant::now();
    let quorum = Quorum::new(&config).unwrap();
    let (evidence, seen) = (Arc::new(quorum.evidence()), Arc::default());
    let headers = Arc::new(Watched {
        quorum,
        seen: Arc::clone(&seen),
    });
    let floor = Arc::new(MemoryFloor::default());
    let bridge = Bridge::start_with(config, headers, evidence, floor, Arc::new(SystemClock))
        .await
        .unwrap();
    let ready = start.elapsed();
    let decided = bridge.decide(Subject::App, &asked(0)).await.unwrap();
    assert!(decided.is_allowed(), "{decided:?}");
    let first = start.elapsed();
    let run = Run {
        bridge,
        seen,
        client: reqwest::Client::new(),
        url: urls[0].clone(),
        apps,
        before,
    };
    println!(
        "# {apps} registered: head followed {ready:.2?} after start, first decision after {first:.2?}; RSS before {before:.1} MB, now {:.1} MB",
        rss_mb("VmRSS")
    );
    println!(
        "| apps | in use | block | HTTP | calls | proofs | KiB | wall ms | endpoint ms | bridge CPU ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut done = 1;
    for used in stages.iter().copied().filter(|used| *used <= apps) {
        if used > done {
            run.stage(done, used).await;
            done = used;
        }
        run.blocks("nothing changed", used, &[]).await;
        let ours: Vec<usize> = (used.saturating_sub(CHANGES)..used).collect();
        run.blocks(&format!("{} in use changed", ours.len()), used, &ours)
            .await;
        if used + CHANGES <= apps {
            let others: Vec<usize> = (apps - CHANGES..apps).collect();
            run.blocks("100 not in use changed", used, &others).await;
        }
    }
    println!(
        "# {apps} registered: RSS {:.1} MB at the end, peak {:.1} MB, before {before:.1} MB",
        rss_mb("VmRSS"),
        rss_mb("VmHWM")
    );
}
