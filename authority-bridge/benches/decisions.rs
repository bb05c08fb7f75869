//! Figures of the bridge against a local Anvil: hot lookup, execution over proven state, warm step of a block, cold
//! decision. Run with `cargo bench -p authority-bridge`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

#[allow(dead_code, unreachable_pub)]
#[path = "../tests/it/fixture.rs"]
mod fixture;

use authority_bridge::{Bridge, BridgeConfig, Subject};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fixture::Net;
use kms_types::{BootRecord, DeviceId};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

fn settled(runtime: &Runtime) -> (Net, Bridge) {
    runtime.block_on(async {
        let net = Net::settled().await;
        let config = BridgeConfig {
            // The bench outlives the age of a head nobody mines.
            max_head_age_s: 86_400,
            poll_interval: Duration::from_millis(5),
            ..net.config()
        };
        let bridge = net.bridge_with(config).await.unwrap();
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
    let runtime = Runtime::new().unwrap();
    let (net, bridge) = settled(&runtime);
    let (record, count) = (net.record(), Cell::new(0));

    criterion.bench_function("hot lookup", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { bridge.decide(Subject::App, &record).await.unwrap() });
    });
    criterion.bench_function("network state", |bencher| {
        bencher.iter(|| bridge.network().unwrap())
    });
    // A device never seen reads slots that must be fetched and proven at both blocks.
    criterion.bench_function("cold decision", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || unseen(&net, &count),
            |record| {
                let bridge = &bridge;
                async move { bridge.decide(Subject::App, &record).await.unwrap() }
            },
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("first decision after a block", |bencher| {
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
    criterion.bench_function("block mined to followed (polling every 5 ms)", |bencher| {
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

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3)).without_plots();
    targets = decisions
}
criterion_main!(benches);
