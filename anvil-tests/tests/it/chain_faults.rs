//! A node whose view of the chain is cut off, late, garbled or of another chain: it says so and releases nothing.

use crate::scene::{PATIENCE, Scene, unlimited};
use anvil_tests::{NetworkOptions, NodeOptions};
use axum::{
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use kms_wire::ProblemCode;
use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

/// What the endpoint between node and chain does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Honest,
    Hang,
    Garbage,
    ServerError,
    TruncatedJson,
    OtherChain,
}

#[derive(Clone)]
struct Proxy {
    mode: Arc<Mutex<Mode>>,
    upstream: Arc<OnceLock<String>>,
    client: reqwest::Client,
}

impl Proxy {
    async fn start() -> (Self, String) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let proxy = Self {
            mode: Arc::new(Mutex::new(Mode::Honest)),
            upstream: Arc::default(),
            client: reqwest::Client::new(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(answer).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (proxy, url)
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

async fn answer(State(proxy): State<Proxy>, body: Bytes) -> Response {
    let mode = *proxy.mode.lock().unwrap();
    match mode {
        Mode::Hang => std::future::pending().await,
        Mode::Garbage => return "\u{0}\u{1}not json".into_response(),
        Mode::ServerError => return (StatusCode::INTERNAL_SERVER_ERROR, "no").into_response(),
        Mode::Honest | Mode::TruncatedJson | Mode::OtherChain => {}
    }
    let upstream = proxy.upstream.get().expect("set before the node starts");
    let sent = proxy
        .client
        .post(upstream)
        .header("content-type", "application/json")
        .body(body.clone())
        .send()
        .await;
    let Ok(response) = sent else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut bytes = response.bytes().await.unwrap_or_default().to_vec();
    if mode == Mode::TruncatedJson {
        bytes.truncate(bytes.len() / 2);
    }
    if mode == Mode::OtherChain {
        bytes = other_chain(&body, &bytes);
    }
    ([("content-type", "application/json")], bytes).into_response()
}

/// The answer with another chain id in every place that was asked for one, in a batch or alone.
fn other_chain(request: &[u8], answer: &[u8]) -> Vec<u8> {
    let (Ok(request), Ok(mut answer)) = (
        serde_json::from_slice::<serde_json::Value>(request),
        serde_json::from_slice::<serde_json::Value>(answer),
    ) else {
        return answer.to_vec();
    };
    let calls = request.as_array().cloned().unwrap_or_else(|| vec![request]);
    let asked: Vec<_> = calls
        .iter()
        .filter(|call| call["method"] == "eth_chainId")
        .map(|call| &call["id"])
        .collect();
    let replies: Vec<_> = match &mut answer {
        serde_json::Value::Array(replies) => replies.iter_mut().collect(),
        reply => vec![reply],
    };
    for reply in replies {
        if asked.contains(&&reply["id"]) {
            reply["result"] = "0x1".into();
        }
    }
    serde_json::to_vec(&answer).unwrap()
}

/// A scene whose node sees the chain through a proxy, polls it, and gives up on a head after `max_age` seconds.
async fn through_proxy(max_age: i64) -> (Scene, Proxy) {
    let (proxy, url) = Proxy::start().await;
    // The node's endpoint must be known before the network picks its ports, so the port is fixed here.
    let port = anvil_tests::ports::free(None).unwrap();
    proxy.upstream.set(format!("http://127.0.0.1:{port}")).unwrap();
    let node = NodeOptions {
        chain_endpoints: vec![(url, None)],
        ..NodeOptions::default()
    };
    let node = unlimited(node)
        .set("chain", "max_head_age_s", max_age)
        .set("chain", "poll_interval_ms", 100)
        .set("chain", "request_timeout_ms", 500);
    let options = NetworkOptions {
        node: Some(node),
        rpc_port: Some(port),
        ..NetworkOptions::default()
    };
    (Scene::with(options).await, proxy)
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
    for mode in [Mode::Hang, Mode::Garbage, Mode::ServerError, Mode::TruncatedJson] {
        proxy.set(mode);
        let problem = refused_with(&scene, ProblemCode::ChainUnavailable).await;
        assert_eq!(problem.status, 503, "{mode:?}");
        let ready = scene.client.get(scene.url("/readyz")).send().await.unwrap();
        assert_eq!(ready.status(), 503, "{mode:?}: not ready while it cannot decide");
        proxy.set(Mode::Honest);
        granted_again(&scene).await;
    }
}

#[tokio::test]
async fn c1_an_endpoint_of_another_chain_stops_a_node_from_starting() {
    let (scene, proxy) = through_proxy(30).await;
    proxy.set(Mode::OtherChain);
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
