//! Decisions over a chain that behaves.

use crate::fixture::{COMPOSE, Net, reason, until};
use authority_bridge::{Finality, Subject};
use hostile_rpc::HostileRpc;
use kms_types::{AppId, ComposeHash, KeyEpoch};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn an_app_is_allowed_until_revoked_and_each_decision_names_its_block() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let allowed = bridge.decide(Subject::App, &net.record()).await.unwrap();
    assert!(allowed.is_allowed(), "{allowed:?}");
    assert_eq!(allowed.decided_by, Finality::Finalized);
    assert_eq!(allowed.head.number, net.height().await);

    net.revoke_compose(COMPOSE).await;
    net.caught_up(&bridge).await;
    let denied = bridge.decide(Subject::App, &net.record()).await.unwrap();
    assert_eq!(reason(&denied), format!("compose_hash_not_allowed: {COMPOSE}"));
    assert_eq!(denied.record_hash, allowed.record_hash);
    bridge.shutdown().await;
}

#[tokio::test]
async fn c8_a_decision_names_hash_and_state_root_of_the_block_it_was_made_at() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let decided = bridge.decide(Subject::App, &net.record()).await.unwrap();
    for block in [decided.head, decided.finalized] {
        let number = format!("{:#x}", block.number);
        let there = net
            .raw("eth_getBlockByNumber", serde_json::json!([number, false]))
            .await;
        assert_eq!(there["hash"], block.hash.to_string());
        assert_eq!(there["stateRoot"], block.state_root.to_string());
        assert_eq!(there["timestamp"], format!("{:#x}", block.timestamp.0));
    }
    assert_eq!(decided.block(), decided.finalized);
}

#[tokio::test]
async fn denials_carry_the_words_of_the_contract() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let stranger = AppId::new([9; 20]);
    let mut unregistered = net.record();
    unregistered.info.app_id = stranger;
    let decided = bridge.decide(Subject::App, &unregistered).await.unwrap();
    assert_eq!(reason(&decided), format!("app_not_registered: {stranger}"));
    assert_eq!(decided.decided_by, Finality::Head);

    let mut old = net.record();
    old.tdx_module_svn = 4;
    let decided = bridge.decide(Subject::App, &old).await.unwrap();
    assert_eq!(reason(&decided), "tdx_module_svn_too_low: 4 < 5");
}

#[tokio::test]
async fn a_kms_node_is_asked_about_by_its_own_question() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let mut node = net.record();
    let decided = bridge.decide(Subject::Kms, &node).await.unwrap();
    assert!(reason(&decided).starts_with("kms_app_mismatch"), "{decided:?}");
    node.info.app_id = net.network.kms_app.unwrap().app_id;
    node.info.compose_hash = ComposeHash::new([0xcc; 32]);
    assert!(bridge.decide(Subject::Kms, &node).await.unwrap().is_allowed());
}

#[tokio::test]
async fn the_network_state_is_that_of_both_blocks() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let network = bridge.network().unwrap();
    assert_eq!(
        network.attestation_roots,
        crate::fixture::params().attestation_roots
    );
    assert_eq!(network.key_epoch, Some(KeyEpoch(1)));
    assert_eq!(network.kms_app_id, net.network.kms_app.map(|app| app.app_id));
    assert_eq!(network.identity, crate::fixture::params().identity);
    assert_eq!(network.min_tcb_evaluation_data_number, 17);
    assert!(!network.release_paused);
    assert_eq!(network.head.number, net.height().await);

    net.pause_releases().await;
    net.caught_up(&bridge).await;
    // A restriction acts at the head.
    assert!(bridge.network().unwrap().release_paused);
}

#[tokio::test]
async fn a_warm_decision_sends_no_request_and_a_cold_one_is_shared() {
    let net = Net::settled().await;
    let proxy = HostileRpc::start(net.anvil.endpoint_url()).await.unwrap();
    let mut config = net.config();
    config.endpoints = vec![proxy.url().into()];
    config.poll_interval = Duration::from_secs(3600);
    let bridge = Arc::new(net.bridge_with(config).await.unwrap());
    let before = proxy.calls();
    let asks = (0..100).map(|_| {
        let (bridge, record) = (Arc::clone(&bridge), net.record());
        tokio::spawn(async move { bridge.decide(Subject::App, &record).await.unwrap().is_allowed() })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert!(ask.await.unwrap());
    }
    let cold = proxy.calls() - before;
    assert!(
        (1..=40).contains(&cold),
        "{cold} requests for one record at two blocks"
    );
    for _ in 0..100 {
        assert!(
            bridge
                .decide(Subject::App, &net.record())
                .await
                .unwrap()
                .is_allowed()
        );
    }
    assert_eq!(proxy.calls() - before, cold);
}

#[tokio::test]
async fn decisions_stay_warm_over_new_blocks_and_their_requests_are_the_followers() {
    let net = Net::settled().await;
    let proxy = HostileRpc::start(net.anvil.endpoint_url()).await.unwrap();
    let mut config = net.config();
    config.endpoints = vec![proxy.url().into()];
    config.endpoints[0].ws = Some(net.anvil.ws_endpoint_url());
    config.poll_interval = Duration::from_secs(3600);
    let bridge = net.bridge_with(config).await.unwrap();
    until(&bridge, |status| status.subscribed).await;
    bridge.decide(Subject::App, &net.record()).await.unwrap();
    for _ in 0..5 {
        net.allow_compose(ComposeHash::new([0x77; 32])).await;
        net.caught_up(&bridge).await;
        net.revoke_compose(ComposeHash::new([0x77; 32])).await;
        net.caught_up(&bridge).await;
        let before = proxy.calls();
        let decided = bridge.decide(Subject::App, &net.record()).await.unwrap();
        assert!(decided.is_allowed());
        assert_eq!(decided.head.number, net.height().await);
        assert_eq!(proxy.calls(), before);
    }
}

#[tokio::test]
async fn heads_come_over_websocket_and_by_polling() {
    let net = Net::settled().await;
    let mut announced = net.config();
    announced.endpoints[0].ws = Some(net.anvil.ws_endpoint_url());
    announced.poll_interval = Duration::from_secs(3600);
    let announced = net.bridge_with(announced).await.unwrap();
    until(&announced, |status| status.subscribed).await;
    net.mine(1).await;
    net.caught_up(&announced).await;

    let mut polled = net.config();
    // Nobody listens there.
    polled.endpoints[0].ws = Some("ws://127.0.0.1:1/".parse().unwrap());
    let polled = net.bridge_with(polled).await.unwrap();
    net.mine(1).await;
    net.caught_up(&polled).await;
    assert!(!polled.status().subscribed);
}

#[tokio::test]
async fn time_is_bounded_below_by_the_newest_head() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let first = bridge.time_floor().unwrap();
    net.raw("evm_increaseTime", serde_json::json!([20])).await;
    net.mine(1).await;
    net.caught_up(&bridge).await;
    let later = bridge.time_floor().unwrap();
    assert!(later.0 >= first.0 + 20, "{first} {later}");
}
