//! A provider that fails, a chain that stands still, a clock that is wrong. None of it ever allows.

use crate::fixture::{COMPOSE, Net, until};
use authority_bridge::{Bridge, BridgeConfig, BridgeError, Subject};
use hostile_rpc::{HostileRpc, Lie, Tunnel};
use kms_types::{ChainAddress, ChainId};
use serde_json::json;
use std::time::Duration;

fn impatient(config: BridgeConfig, proxy: &HostileRpc) -> BridgeConfig {
    BridgeConfig {
        endpoints: vec![proxy.url().into()],
        request_timeout: Duration::from_millis(500),
        max_response_bytes: 256 * 1024,
        ..config
    }
}

async fn behind_proxy(net: &Net) -> (Bridge, HostileRpc) {
    let proxy = HostileRpc::start(net.anvil.endpoint_url()).await.unwrap();
    let bridge = net.bridge_with(impatient(net.config(), &proxy)).await.unwrap();
    (bridge, proxy)
}

#[tokio::test]
async fn c1_an_endpoint_of_another_chain_is_refused_at_start() {
    let net = Net::settled().await;
    let mut config = net.config();
    config.chain_id = ChainId(1);
    let error = net.bridge_with(config).await.err().unwrap();
    let BridgeError::WrongChain { expected, actual, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((expected, actual), (ChainId(1), ChainId(31337)));
}

#[tokio::test]
async fn c1_an_endpoint_that_moves_to_another_chain_decides_nothing_until_it_is_back() {
    let net = Net::settled().await;
    let (bridge, proxy) = behind_proxy(&net).await;
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    proxy.set(Lie::ChainId);
    until(&bridge, |status| !status.connected).await;
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(
        matches!(
            error,
            BridgeError::WrongChain {
                actual: ChainId(1),
                ..
            }
        ),
        "{error}"
    );
    assert!(bridge.network().is_err());
    proxy.honest();
    until(&bridge, |status| status.connected).await;
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
}

#[tokio::test]
async fn c5_a_stale_head_decides_nothing() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    net.clock.advance(300);
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(matches!(error, BridgeError::Stale { limit_s: 60, .. }), "{error}");
    assert_eq!(error.code(), "chain_stale");
    assert!(matches!(bridge.network(), Err(BridgeError::Stale { .. })));
}

#[tokio::test]
async fn c5_a_clock_behind_the_chain_decides_nothing() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    net.clock.advance(-3600);
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(matches!(error, BridgeError::Clock { .. }), "{error}");
    // A head of the future is not even taken up.
    net.clock.advance(3600);
    let before = bridge.status().head.unwrap();
    net.raw("evm_increaseTime", json!([7200])).await;
    net.mine(1).await;
    until(&bridge, |status| !status.connected).await;
    assert_eq!(bridge.status().head.unwrap(), before);
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(matches!(error, BridgeError::Clock { .. }), "{error}");
}

#[tokio::test]
async fn c6_a_provider_that_fails_allows_nothing_new_and_nothing_at_all_once_the_head_is_old() {
    for lie in [
        Lie::Stall,
        Lie::StallAfterHeaders,
        Lie::Trickle,
        Lie::Status(429),
        Lie::Status(500),
        Lie::Redirect,
        Lie::Garbage,
        Lie::Empty,
        Lie::Null,
        Lie::NoAnswers,
        Lie::Truncated,
        Lie::DeeplyNested,
        Lie::Oversized,
        Lie::OtherIds,
        Lie::RpcErrors,
        Lie::NullResults,
        Lie::HugeNumbers,
    ] {
        let net = Net::settled().await;
        let (bridge, proxy) = behind_proxy(&net).await;
        assert!(
            bridge
                .decide(Subject::App, &net.record())
                .await
                .unwrap()
                .is_allowed()
        );
        let name = lie.to_string();
        proxy.set(lie);
        let status = until(&bridge, |status| !status.connected).await;
        let text = status.last_error.unwrap();
        assert!(
            text.starts_with("http://127.0.0.1:") && !text.contains("secret"),
            "{name}: {text}"
        );
        // A record never seen before needs the provider.
        let mut unseen = net.record();
        unseen.info.app_id = kms_types::AppId::new([3; 20]);
        let error = bridge.decide(Subject::App, &unseen).await.unwrap_err();
        assert_eq!(error.code(), "chain_unavailable", "{name}: {error}");
        net.clock.advance(300);
        let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
        assert_eq!(error.code(), "chain_unavailable", "{name}: {error}");
        // And back.
        net.clock.advance(-300);
        proxy.honest();
        until(&bridge, |status| status.connected).await;
        assert!(
            bridge
                .decide(Subject::App, &net.record())
                .await
                .unwrap()
                .is_allowed()
        );
    }
}

#[tokio::test]
async fn c6_nothing_is_decided_before_the_first_head_and_the_bridge_recovers() {
    let net = Net::settled().await;
    let proxy = HostileRpc::start(net.anvil.endpoint_url()).await.unwrap();
    proxy.set(Lie::Status(503));
    let bridge = net.bridge_with(impatient(net.config(), &proxy)).await.unwrap();
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(error.to_string().contains("HTTP status 503"), "{error}");
    assert!(bridge.network().is_err() && bridge.time_floor().is_none());
    assert!(bridge.ready(Duration::from_millis(100)).await.is_err());
    proxy.honest();
    bridge.ready(crate::fixture::PATIENCE).await.unwrap();
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
}

#[tokio::test]
async fn c6_an_address_without_a_contract_is_no_answer() {
    let net = Net::settled().await;
    let mut config = net.config();
    config.contract = ChainAddress::new([0x42; 20]);
    let bridge = net.bridge_with(config).await.unwrap();
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(error.to_string().contains("expected code at block"), "{error}");
    assert!(bridge.network().is_err());
}

#[tokio::test]
async fn c6_a_contract_that_reverts_loops_or_answers_nothing_is_no_answer() {
    let net = Net::settled().await;
    for (name, code, expected) in [
        ("reverts", "0x60006000fd", "reverted"),
        ("loops", "0x5b600056", "stopped within 10000000 gas"),
        ("answers nothing", "0x00", "expected 96 to"),
        (
            "answers true and no more",
            "0x600160005260206000f3",
            "expected 96 to",
        ),
        ("bad instruction", "0xfe", "stopped within"),
        ("block hash", "0x6001430340", "cannot be proven"),
    ] {
        let address = format!("0x{}", "42".repeat(20));
        net.raw("anvil_setCode", json!([address, code])).await;
        net.mine(3).await;
        let mut config = net.config();
        config.contract = ChainAddress::new([0x42; 20]);
        let bridge = net.bridge_with(config).await.unwrap();
        let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
        assert_eq!(error.code(), "chain_unavailable", "{name}: {error}");
        let text = match bridge.status().last_error {
            Some(text) => text,
            None => error.to_string(),
        };
        assert!(text.contains(expected), "{name}: {text}");
    }
}

#[tokio::test]
async fn shutdown_ends_the_tasks_and_decisions_age_out() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    bridge.shutdown().await;
    net.revoke_compose(COMPOSE).await;
    net.clock.advance(300);
    assert!(bridge.decide(Subject::App, &net.record()).await.is_err());
}

#[tokio::test]
async fn a_lost_subscription_is_replaced_by_polling_until_it_is_back() {
    let net = Net::settled().await;
    let tunnel = Tunnel::start(net.anvil.port()).await.unwrap();
    let mut config = net.config();
    config.endpoints[0].ws = Some(format!("ws://127.0.0.1:{}", tunnel.port()).parse().unwrap());
    let bridge = net.bridge_with(config).await.unwrap();
    until(&bridge, |status| status.subscribed).await;
    tunnel.set_open(false);
    until(&bridge, |status| !status.subscribed).await;
    net.revoke_compose(COMPOSE).await;
    net.caught_up(&bridge).await;
    assert!(
        !bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    tunnel.set_open(true);
    until(&bridge, |status| status.subscribed).await;
    net.mine(1).await;
    net.caught_up(&bridge).await;
}

#[tokio::test]
async fn callers_that_go_away_while_evidence_is_fetched_leave_nothing_behind() {
    let net = Net::settled().await;
    let proxy = HostileRpc::start(net.anvil.endpoint_url()).await.unwrap();
    let config = BridgeConfig {
        max_concurrent_fetches: 1,
        ..impatient(net.config(), &proxy)
    };
    let bridge = net.bridge_with(config).await.unwrap();
    proxy.set(Lie::Stall);
    for index in 0..400u32 {
        let mut record = net.record();
        record.info.device_id = kms_types::DeviceId::new(
            [[0xee; 28].as_slice(), &index.to_be_bytes()]
                .concat()
                .try_into()
                .unwrap(),
        );
        let asked =
            tokio::time::timeout(Duration::from_millis(1), bridge.decide(Subject::App, &record)).await;
        assert!(asked.is_err(), "{asked:?}");
    }
    proxy.honest();
    until(&bridge, |status| status.connected).await;
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
}
