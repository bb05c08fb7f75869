//! Blocks that were removed take their decisions with them.

use crate::fixture::{COMPOSE, Net, reason, until};
use authority_bridge::{BridgeError, Subject};
use kms_types::ComposeHash;

const LATER: ComposeHash = ComposeHash::new([0x1a; 32]);

async fn reorg(net: &Net, depth: u64) {
    net.raw("anvil_reorg", serde_json::json!([depth, []])).await;
}

#[tokio::test]
async fn c7_a_reorg_that_removes_an_allowance_voids_the_decision() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let mut record = net.record();
    record.info.compose_hash = LATER;
    net.allow_compose(LATER).await;
    net.caught_up(&bridge).await;
    let before = bridge.decide(Subject::App, &record).await.unwrap();
    assert!(reason(&before).starts_with("not_yet_final"), "{before:?}");

    reorg(&net, 1).await;
    until(&bridge, |status| {
        status.head.is_some_and(|head| head.hash != before.head.hash)
    })
    .await;
    let after = bridge.decide(Subject::App, &record).await.unwrap();
    assert_eq!(reason(&after), format!("compose_hash_not_allowed: {LATER}"));
    net.mine(3).await;
    net.caught_up(&bridge).await;
    assert!(!bridge.decide(Subject::App, &record).await.unwrap().is_allowed());
    let status = bridge.status();
    assert_eq!((status.reorgs, status.deepest_reorg), (1, 1), "{status:?}");
}

#[tokio::test]
async fn c7_a_reorg_that_removes_a_revocation_is_followed_too() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    net.revoke_compose(COMPOSE).await;
    net.caught_up(&bridge).await;
    let denied = bridge.decide(Subject::App, &net.record()).await.unwrap();
    assert!(!denied.is_allowed());
    reorg(&net, 1).await;
    until(&bridge, |status| {
        status.head.is_some_and(|head| head.hash != denied.head.hash)
    })
    .await;
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
}

#[tokio::test]
async fn c7_a_reorg_below_finality_stops_every_decision_for_good() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    reorg(&net, 3).await;
    net.mine(1).await;
    let status = until(&bridge, |status| status.halted).await;
    assert!(status.last_error.unwrap().starts_with("finalized block "));
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(matches!(error, BridgeError::Disagreement { .. }), "{error}");
    assert!(bridge.network().is_err());
    // A restart does not forget it.
    let error = net.bridge_with(net.config()).await.err().unwrap();
    assert!(matches!(error, BridgeError::Disagreement { .. }), "{error}");
}
