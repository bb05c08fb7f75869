//! A node whose view of the chain is cut off, late, garbled, of another chain or a lie: it says so and releases nothing
//! the chain does not allow. With three endpoints, one that lies costs nothing at all.

use crate::scene::{COMPOSE, PATIENCE, Scene, denied, unlimited};
use alloy::{primitives::Address, sol_types::SolCall};
use anvil_tests::{Account, AppSpec, NetworkOptions, NodeOptions, binaries};
use authority_contracts::abi::AppAuthority;
use hostile_rpc::{HostileRpc, InventedChain, Lie, Tunnel};
use kms_types::ComposeHash;
use kms_wire::ProblemCode;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Document of code that only an invented chain allows.
const EVIL: &[u8] = br#"{"manifest_version":2,"name":"evil","runner":"docker-compose"}"#;
/// A release takes no longer than this while one of three endpoints lies.
const PROMPT: Duration = Duration::from_secs(3);

/// A node that sees the chain through these endpoints, polls them, and gives up on a head after `max_age` seconds.
fn through(endpoints: Vec<String>, threshold: usize, max_age: i64) -> NodeOptions {
    let node = NodeOptions {
        chain_endpoints: endpoints.into_iter().map(|url| (url, None)).collect(),
        chain_threshold: threshold,
        ..NodeOptions::default()
    };
    unlimited(node)
        .set("chain", "max_head_age_s", max_age)
        .set("chain", "max_disagreement_s", 2)
        .set("chain", "poll_interval_ms", 100)
        .set("chain", "request_timeout_ms", 500)
}

/// A scene whose node sees the chain through so many endpoints that lie on command.
async fn behind(count: usize, threshold: usize, max_age: i64) -> (Scene, Vec<HostileRpc>) {
    // The node's endpoints must be known before the network picks its ports, so the chain's port is fixed here.
    let port = anvil_tests::ports::free(None).unwrap();
    let mut rpcs = Vec::new();
    for _ in 0..count {
        let upstream = format!("http://127.0.0.1:{port}").parse().unwrap();
        rpcs.push(HostileRpc::start(upstream).await.unwrap());
    }
    let urls = rpcs.iter().map(|rpc| rpc.url().to_string()).collect();
    let options = NetworkOptions {
        node: Some(through(urls, threshold, max_age)),
        rpc_port: Some(port),
        ..NetworkOptions::default()
    };
    (Scene::with(options).await, rpcs)
}

async fn through_proxy(max_age: i64) -> (Scene, HostileRpc) {
    let (scene, mut rpcs) = behind(1, 1, max_age).await;
    (scene, rpcs.remove(0))
}

/// A chain that goes its own way from now on, and on which the app's owner has allowed [`EVIL`].
async fn invented(scene: &Scene) -> Arc<InventedChain> {
    let real = scene.network.anvil().http_url().parse().unwrap();
    let chain = InventedChain::fork(&real, &binaries::anvil().unwrap())
        .await
        .unwrap();
    let allow = AppAuthority::addComposeHashCall {
        composeHash: ComposeHash::of(EVIL).to_bytes().into(),
    };
    let (owner, app) = (
        Account::AppOwner.signer().unwrap().address(),
        Address::new(scene.app.to_bytes()),
    );
    chain
        .send_as(owner, app, allow.abi_encode().into())
        .await
        .unwrap();
    chain.mine(3).await.unwrap();
    chain.mine_every(1).await.unwrap();
    Arc::new(chain)
}

async fn revoke(scene: &Scene) {
    let revoke = AppAuthority::removeComposeHashCall {
        composeHash: ComposeHash::of(COMPOSE).to_bytes().into(),
    };
    scene.manage(revoke).await;
}

fn evil(scene: &Scene) -> AppSpec {
    AppSpec::new(scene.app, EVIL, "evil")
}

/// Asks until the answer is a refusal of this code.
async fn refused_with(scene: &Scene, code: ProblemCode) -> kms_wire::Problem {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Err(problem) = scene.request(&scene.spec()).await
            && problem.code == code
        {
            return problem;
        }
        assert!(Instant::now() < end, "no refusal with {code:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks until there are keys.
async fn granted_again(scene: &Scene) {
    let end = Instant::now() + PATIENCE;
    while let Err(problem) = scene.request(&scene.spec()).await {
        assert!(Instant::now() < end, "no keys after the fault ended: {problem:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_in_any_way_stops_releases_until_it_is_back() {
    let (scene, proxy) = through_proxy(5).await;
    granted_again(&scene).await;
    for lie in [
        Lie::Stall,
        Lie::Trickle,
        Lie::Garbage,
        Lie::Status(500),
        Lie::Status(429),
        Lie::Truncated,
        Lie::Oversized,
        Lie::DeeplyNested,
    ] {
        let mode = lie.to_string();
        proxy.set(lie);
        let problem = refused_with(&scene, ProblemCode::ChainUnavailable).await;
        assert_eq!(problem.status, 503, "{mode}");
        let ready = scene.client.get(scene.url("/readyz")).send().await.unwrap();
        assert_eq!(ready.status(), 503, "{mode}: not ready while it cannot decide");
        proxy.honest();
        granted_again(&scene).await;
    }
}

#[tokio::test]
async fn c1_an_endpoint_of_another_chain_stops_a_node_from_starting() {
    let (scene, proxy) = through_proxy(30).await;
    proxy.set(Lie::ChainId);
    let mut scene = scene;
    let node = scene.network.nodes().remove(0).kill().unwrap();
    let mut node = node.spawn(&scene.network).unwrap();
    let end = Instant::now() + PATIENCE;
    let log = loop {
        match node.process().ensure_running() {
            Err(ended) => break format!("{ended:#}"),
            Ok(()) => assert!(Instant::now() < end, "the node runs on another chain"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(log.contains("chain id: expected 31337, got 1"), "{log}");
}

#[tokio::test]
async fn c5_a_chain_that_stands_still_is_stale() {
    let node = unlimited(NodeOptions::default()).set("chain", "max_head_age_s", 5);
    let scene = Scene::with(NetworkOptions {
        node: Some(node),
        ..NetworkOptions::default()
    })
    .await;
    granted_again(&scene).await;
    scene
        .network
        .anvil()
        .rpc("evm_setIntervalMining", serde_json::json!([0]))
        .await
        .unwrap();
    let problem = refused_with(&scene, ProblemCode::ChainStale).await;
    assert!(
        problem.detail.contains("expected an age of at most 5 s"),
        "{problem:?}"
    );
    scene
        .network
        .anvil()
        .rpc("evm_setIntervalMining", serde_json::json!([1]))
        .await
        .unwrap();
    granted_again(&scene).await;
}

#[tokio::test]
async fn a_chain_that_hangs_and_goes_on() {
    let mut scene = Scene::with(NetworkOptions {
        node: Some(unlimited(NodeOptions::default()).set("chain", "max_head_age_s", 5)),
        ..NetworkOptions::default()
    })
    .await;
    granted_again(&scene).await;
    scene.network.anvil_mut().process().pause().unwrap();
    let problem = refused_with(&scene, ProblemCode::ChainUnavailable).await;
    assert_eq!(problem.status, 503);
    scene.network.anvil_mut().process().resume().unwrap();
    granted_again(&scene).await;
}

#[tokio::test]
async fn a_chain_that_is_gone() {
    let mut scene = Scene::with(NetworkOptions {
        node: Some(unlimited(NodeOptions::default()).set("chain", "max_head_age_s", 5)),
        ..NetworkOptions::default()
    })
    .await;
    granted_again(&scene).await;
    scene.network.anvil_mut().process().end_now();
    let problem = refused_with(&scene, ProblemCode::ChainUnavailable).await;
    assert_eq!(problem.status, 503);
    // What needs no decision goes on.
    let meta = scene.client.get(scene.url("/v1/meta")).send().await.unwrap();
    assert_eq!(meta.status(), 200);
}

#[tokio::test]
async fn one_of_three_endpoints_that_lies_costs_no_release() {
    let (scene, rpcs) = behind(3, 2, 30).await;
    granted_again(&scene).await;
    let chain = invented(&scene).await;
    rpcs[0].freeze().await.unwrap();
    for lie in [
        None,
        Some(Lie::Chain(chain)),
        Some(Lie::InventedHead("stateRoot")),
        Some(Lie::InventedFinalized("stateRoot")),
        Some(Lie::Code),
        Some(Lie::SlotSet),
        Some(Lie::SlotCleared),
        Some(Lie::AccountAbsent),
        Some(Lie::ChainId),
        Some(Lie::Stall),
        Some(Lie::Trickle),
        Some(Lie::Oversized),
        Some(Lie::PerRequest(vec![
            Lie::Honest,
            Lie::InventedHead("stateRoot"),
            Lie::Code,
        ])),
    ] {
        let what = lie.as_ref().map_or("an old view".to_owned(), Lie::to_string);
        if let Some(lie) = lie {
            rpcs[0].set(lie);
        }
        // A record nobody asked about needs evidence; an instance is one.
        for instance in ["one", "two"] {
            let from = Instant::now();
            let spec = AppSpec::new(scene.app, COMPOSE, &format!("{what} {instance}"));
            if let Err(problem) = scene.request(&spec).await {
                panic!("{what}: {problem:?}");
            }
            let reason = denied(scene.request(&evil(&scene)).await);
            assert!(!reason.is_empty(), "{what}");
            assert!(from.elapsed() < PROMPT, "{what}: {:?}", from.elapsed());
        }
    }
    rpcs[0].freeze().await.unwrap();
    revoke(&scene).await;
    let from = Instant::now();
    while scene.request(&scene.spec()).await.is_ok() {
        assert!(from.elapsed() < PROMPT, "released after the revocation");
    }
}

#[tokio::test]
async fn c2_two_of_three_colluding_endpoints_get_no_key_when_all_three_must_agree() {
    let (mut scene, rpcs) = behind(3, 3, 30).await;
    granted_again(&scene).await;
    let chain = invented(&scene).await;
    for rpc in &rpcs[..2] {
        rpc.set(Lie::Chain(Arc::clone(&chain)));
    }
    let problem = refused_with(&scene, ProblemCode::ChainDisagreement).await;
    assert_eq!(problem.status, 503);
    for rpc in &rpcs {
        assert!(problem.detail.contains(&rpc.name()), "who said what: {problem:?}");
    }
    assert!(!problem.detail.contains("secret"), "{problem:?}");
    no_evil(&scene, 10).await;
    // Nor by a restart under the lie.
    let node = scene.network.nodes().remove(0).kill().unwrap();
    let node = node.spawn(&scene.network).unwrap();
    scene.network.nodes().push(node);
    let end = Instant::now() + PATIENCE;
    while scene.client.get(scene.url("/readyz")).send().await.is_err() {
        assert!(Instant::now() < end, "the node does not listen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    no_evil(&scene, 10).await;
}

/// Asks for keys for code the chain never allowed.
async fn no_evil(scene: &Scene, times: usize) {
    for _ in 0..times {
        if let Ok(release) = scene.request(&evil(scene)).await {
            panic!(
                "released over an invented chain: {:?}",
                release.response.decision.head
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn endpoints_that_restart_one_after_the_other_under_requests_cost_no_release() {
    let port = anvil_tests::ports::free(None).unwrap();
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        tunnels.push(Tunnel::start(port).await.unwrap());
    }
    let urls = tunnels
        .iter()
        .map(|tunnel| format!("http://127.0.0.1:{}", tunnel.port()));
    let options = NetworkOptions {
        node: Some(through(urls.collect(), 2, 10)),
        rpc_port: Some(port),
        ..NetworkOptions::default()
    };
    let scene = Scene::with(options).await;
    granted_again(&scene).await;
    let mut releases = 0;
    for _ in 0..3 {
        for tunnel in &tunnels {
            for open in [false, true] {
                tunnel.set_open(open);
                let end = Instant::now() + Duration::from_millis(700);
                while Instant::now() < end {
                    scene.granted().await;
                    releases += 1;
                }
            }
        }
    }
    assert!(releases > 20, "{releases}");
    // All at once: a revocation mined meanwhile is acted on when they are back, and before that nothing newer is known.
    tunnels.iter().for_each(|tunnel| tunnel.set_open(false));
    revoke(&scene).await;
    let problem = refused_with(&scene, ProblemCode::ChainUnavailable).await;
    assert_eq!(problem.status, 503);
    tunnels.iter().for_each(|tunnel| tunnel.set_open(true));
    refused_with(&scene, ProblemCode::Denied).await;
}
