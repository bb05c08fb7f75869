//! A node with three endpoints, of which one is not there: it releases keys and says which one.

use crate::scene::{PATIENCE, Scene, unlimited};
use anvil_tests::{NetworkOptions, NodeOptions};
use std::time::{Duration, Instant};

#[tokio::test]
async fn two_of_three_endpoints_are_enough_and_the_third_is_named() {
    let port = anvil_tests::ports::free(None).unwrap();
    let nobody = format!("http://127.0.0.1:{}", anvil_tests::ports::free(None).unwrap());
    let chain = |host: &str| {
        let ws = Some(format!("ws://{host}:{port}"));
        (format!("http://{host}:{port}"), ws)
    };
    let node = NodeOptions {
        chain_endpoints: vec![(nobody.clone(), None), chain("127.0.0.1"), chain("localhost")],
        chain_threshold: 2,
        ..NodeOptions::default()
    };
    let scene = Scene::with(NetworkOptions {
        node: Some(unlimited(node)),
        rpc_port: Some(port),
        ..NetworkOptions::default()
    })
    .await;
    scene.request(&scene.spec()).await.unwrap();
    let ready = scene.client.get(scene.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let text = ready.text().await.unwrap();
    assert!(
        text.starts_with(&format!("ready\ndegraded: {nobody}: ")),
        "{text}"
    );
    let healthy = |name: &str, value: u8| format!("endpoint_healthy{{endpoint=\"{name}\"}} {value}");
    let expected = [
        healthy(&nobody, 0),
        healthy(&format!("http://127.0.0.1:{port}"), 1),
        healthy(&format!("http://localhost:{port}"), 1),
        "kedge_kms_chain_subscribed 1".to_owned(),
    ];
    let end = Instant::now() + PATIENCE;
    loop {
        let metrics = scene.client.get(scene.url("/metrics")).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        if expected.iter().all(|line| metrics.contains(line)) {
            break;
        }
        assert!(Instant::now() < end, "{metrics}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
