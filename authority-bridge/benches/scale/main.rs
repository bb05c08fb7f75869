//! What a bridge costs beside many registered apps: memory, time to the first decision, and a block's cost.
//! `cargo bench -p authority-bridge --bench scale -- APPS…`, or `make bench-scale`.
//!
//! Real contracts are deployed on a real Anvil, and an app allows a compose hash and removes it again. The two states are
//! then served for any number of apps by an endpoint of this bench's own: Anvil makes its tries anew for each proof, which
//! at 100,000 apps takes longer than anything measured here. The endpoint's proofs are verified as any other's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    unreachable_pub
)]

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/it/fixture.rs"]
mod fixture;
mod follow;
mod serve;
mod trie;
mod world;

use alloy::primitives::{Address, Bytes};
use fixture::{COMPOSE, Net};
use kms_types::ChainAddress;
use std::{
    env,
    io::Read,
    process::{Command, Stdio},
};
use world::{Dump, Template, World};

/// Set for the measured process.
const CHILD: &str = "SCALE_FOLLOW";
/// Apps asked about, where so many are registered; beyond the last but one the bridge forgets.
const STAGES: [usize; 5] = [1, 100, 1000, 8000, 20_000];

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    if let Ok(given) = env::var(CHILD) {
        let mut parts = given.split(',').map(str::to_owned);
        let contract: Address = parts.next().unwrap().parse().unwrap();
        let contract = ChainAddress::new(contract.0.0);
        return follow::follow(parts.collect(), contract, numbers[0], &STAGES).await;
    }
    let counts = if numbers.is_empty() {
        vec![1000, 10_000, 100_000]
    } else {
        numbers
    };
    let template = template().await;
    let contract = template.contract;
    for apps in counts {
        let start = std::time::Instant::now();
        let urls = serve::serve(World::new(&template, apps), 2).await;
        println!("# world of {apps} apps made in {:.1?}", start.elapsed());
        let status = tokio::task::spawn_blocking(move || {
            Command::new(env::current_exe().unwrap())
                .arg(apps.to_string())
                .env(CHILD, format!("{contract},{}", urls.join(",")))
                .stdin(Stdio::null())
                .status()
                .unwrap()
        });
        assert!(status.await.unwrap().success());
    }
}

async fn dump(net: &Net) -> Dump {
    let packed: Bytes =
        serde_json::from_value(net.raw("anvil_dumpState", serde_json::json!([])).await).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_ref())
        .read_to_string(&mut text)
        .unwrap();
    let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(state["accounts"].take()).unwrap()
}

async fn template() -> Template {
    let net = Net::settled().await;
    let allowed = dump(&net).await;
    net.revoke_compose(COMPOSE).await;
    Template {
        allowed,
        revoked: dump(&net).await,
        contract: net.contract(),
        app: Address::new(net.app.to_bytes()),
    }
}
