//! Figures of the bridge against a local Anvil, with one endpoint and with two that must agree: hot lookup, network state,
//! cold decision, first decision after a block, block mined to followed, and revocation mined to refused over WebSocket.
//! Run with `cargo bench -p authority-bridge --bench decisions`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

#[allow(dead_code, unreachable_pub)]
#[path = "../tests/it/fixture.rs"]
mod fixture;

use alloy::{
    primitives::{Address, Bytes},
    sol_types::SolCall,
};
use authority_bridge::{Bridge, BridgeConfig, EndpointConfig, Subject};
use authority_contracts::abi::AppAuthority;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fixture::{COMPOSE, Net};
use kms_types::{BootRecord, DeviceId};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// Revocations whose latency is measured.
const REVOCATIONS: usize = 120;

fn config(net: &Net, endpoints: usize, announced: bool) -> BridgeConfig {
    let endpoint = EndpointConfig {
        http: net.anvil.endpoint_url(),
        ws: announced.then(|| net.anvil.ws_endpoint_url()),
    };
    let poll = if announced { 1000 } else { 5 };
    BridgeConfig {
        // The bench outlives the age of a head nobody mines.
        max_head_age_s: 86_400,
        poll_interval: Duration::from_millis(poll),
        threshold: endpoints,
        endpoints: vec![endpoint; endpoints],
        ..net.config()
    }
}

/// A network and a bridge that follows it through so many endpoints, which all are the one Anvil.
fn settled(runtime: &Runtime, endpoints: usize, announced: bool) -> (Net, Bridge) {
    runtime.block_on(async {
        let net = Net::settled().await;
        let bridge = net.bridge_with(config(&net, endpoints, announced)).await.unwrap();
        assert!(
            bridge
                .decide(Subject::App, &net.record())
                .await
                .unwrap()
                .is_allowed()
        );
        (net, bridge)
    })
}

/// A record nobody asked about yet: the device is any.
fn unseen(net: &Net, count: &Cell<u64>) -> BootRecord {
    count.set(count.get() + 1);
    let mut record = net.record();
    let mut device = [0xde; 32];
    device[..8].copy_from_slice(&count.get().to_be_bytes());
    record.info.device_id = DeviceId::new(device);
    record
}

fn decisions(criterion: &mut Criterion) {
    for endpoints in [1, 2] {
        figures(criterion, endpoints);
    }
}

fn figures(criterion: &mut Criterion, endpoints: usize) {
    let runtime = Runtime::new().unwrap();
    let (net, bridge) = settled(&runtime, endpoints, false);
    let (record, count) = (net.record(), Cell::new(0));
    let name = |figure: &str| format!("{figure}, {endpoints} endpoint(s)");

    criterion.bench_function(&name("hot lookup"), |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { bridge.decide(Subject::App, &record).await.unwrap() });
    });
    criterion.bench_function(&name("network state"), |bencher| {
        bencher.iter(|| bridge.network().unwrap())
    });
    // Nothing is known but the head: code, accounts and slots are fetched and proven at both blocks.
    criterion.bench_function(&name("cold decision"), |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let fresh = net.bridge_with(config(&net, endpoints, false)).await.unwrap();
                    fresh.ready(Duration::from_secs(10)).await.unwrap();
                    let start = Instant::now();
                    fresh.decide(Subject::App, &record).await.unwrap();
                    spent += start.elapsed();
                    fresh.shutdown().await;
                }
                spent
            })
        });
    });
    // Another device of an app that is known: what it reads is proven, and is executed over.
    criterion.bench_function(&name("new record of a known app"), |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || unseen(&net, &count),
            |record| {
                let bridge = &bridge;
                async move { bridge.decide(Subject::App, &record).await.unwrap() }
            },
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function(&name("first decision after a block"), |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    net.mine(1).await;
                    net.caught_up(&bridge).await;
                    let start = Instant::now();
                    bridge.decide(Subject::App, &record).await.unwrap();
                    spent += start.elapsed();
                }
                spent
            })
        });
    });
    criterion.bench_function(&name("block mined to followed (polling every 5 ms)"), |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    net.mine(1).await;
                    let start = Instant::now();
                    net.caught_up(&bridge).await;
                    spent += start.elapsed();
                }
                spent
            })
        });
    });
    runtime.block_on(bridge.shutdown());
}

/// From before the block with the removal is asked for to the first refusal.
async fn revocation(net: &Net, bridge: &Bridge) -> Duration {
    let from = net.anvil.addresses()[0];
    let to = Address::new(net.app.to_bytes());
    let composed = COMPOSE.to_bytes().into();
    let send = |data: Vec<u8>| async move {
        let data = Bytes::from(data);
        let transaction = serde_json::json!([{ "from": from, "to": to, "data": data, "gas": "0x100000" }]);
        net.raw("eth_sendTransaction", transaction).await;
    };
    let allow = AppAuthority::addComposeHashCall {
        composeHash: composed,
    };
    send(allow.abi_encode()).await;
    net.mine(4).await;
    net.caught_up(bridge).await;
    let record = net.record();
    let decided = bridge.decide(Subject::App, &record).await.unwrap();
    assert!(decided.is_allowed(), "{decided:?}");
    let revoke = AppAuthority::removeComposeHashCall {
        composeHash: composed,
    };
    send(revoke.abi_encode()).await;
    let mined = Instant::now();
    net.mine(1).await;
    while bridge.decide(Subject::App, &record).await.unwrap().is_allowed() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    mined.elapsed()
}

/// A distribution, which criterion does not show: its figure is a mean.
fn revocations(_: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let (net, bridge) = settled(&runtime, 2, true);
    let mut all = runtime.block_on(async {
        net.raw("evm_setAutomine", serde_json::json!([false])).await;
        let mut all = Vec::new();
        for _ in 0..REVOCATIONS {
            all.push(revocation(&net, &bridge).await);
        }
        all
    });
    all.sort();
    let at = |percent: usize| all[(all.len() - 1) * percent / 100];
    println!(
        "revocation mined to refused, 2 endpoints over WebSocket, {REVOCATIONS} times: p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, worst {:.1?}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
    runtime.block_on(bridge.shutdown());
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3)).without_plots();
    targets = revocations, decisions
}
criterion_main!(benches);
