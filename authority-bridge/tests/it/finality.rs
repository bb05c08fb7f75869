//! What is final, what is not yet, and what never goes back.

use crate::fixture::{COMPOSE, Net, reason, until};
use authority_bridge::{BridgeError, Finality, Subject};
use kms_types::{BlockHash, ComposeHash};

const LATER: ComposeHash = ComposeHash::new([0x1a; 32]);

#[tokio::test]
async fn c4_allowed_at_head_and_not_final_is_denied_until_it_is_final() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let mut record = net.record();
    record.info.compose_hash = LATER;
    net.allow_compose(LATER).await;
    net.caught_up(&bridge).await;
    let decided = bridge.decide(Subject::App, &record).await.unwrap();
    assert_eq!(
        reason(&decided),
        format!("not_yet_final: compose_hash_not_allowed: {LATER}")
    );
    assert_eq!(
        (decided.decided_by, decided.block()),
        (Finality::Finalized, decided.finalized)
    );

    net.mine(2).await;
    net.caught_up(&bridge).await;
    assert!(bridge.decide(Subject::App, &record).await.unwrap().is_allowed());
}

#[tokio::test]
async fn c4_revoked_at_head_is_denied_while_finalized_still_allows() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    net.revoke_compose(COMPOSE).await;
    net.caught_up(&bridge).await;
    let decided = bridge.decide(Subject::App, &net.record()).await.unwrap();
    assert_eq!(reason(&decided), format!("compose_hash_not_allowed: {COMPOSE}"));
    assert_eq!(
        (decided.decided_by, decided.block()),
        (Finality::Head, decided.head)
    );
    assert!(decided.finalized.number < decided.head.number);
}

#[tokio::test]
async fn c4_a_contract_that_is_not_final_yet_grants_nothing() {
    let net = Net::start_with_epoch(64).await;
    let bridge = net.bridge().await;
    assert_eq!(bridge.status().finalized.unwrap().number, 0);
    let decided = bridge.decide(Subject::App, &net.record()).await.unwrap();
    assert_eq!(
        reason(&decided),
        "not_yet_final: contract not yet visible at finalized block 0"
    );
    let network = bridge.network().unwrap_err();
    assert_eq!(
        network.to_string(),
        "chain unavailable: contract not yet visible at finalized block 0"
    );
}

#[tokio::test]
async fn c5_the_floor_survives_a_restart_and_an_older_finalized_block_is_not_used() {
    let net = Net::settled().await;
    net.bridge().await.shutdown().await;
    let floor = net.floor.block.lock().unwrap().unwrap();
    assert_eq!(floor.number, net.height().await - 2);

    // A provider whose finalized block lies behind: the floor's own block is used, found by its hash.
    let proxy = hostile_rpc::HostileRpc::start(net.anvil.endpoint_url())
        .await
        .unwrap();
    let genesis = net
        .raw("eth_getBlockByNumber", serde_json::json!(["0x0", false]))
        .await;
    proxy.about("eth_getBlockByNumber", move |params, result| {
        if params[0] == "finalized" {
            *result = genesis.clone();
        }
    });
    let mut config = net.config();
    config.endpoints = vec![proxy.url().into()];
    let bridge = net.bridge_with(config).await.unwrap();
    assert_eq!(bridge.status().finalized.unwrap().block_ref(), floor);
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    assert_eq!(net.floor.block.lock().unwrap().unwrap(), floor);
}

#[tokio::test]
async fn c5_a_chain_that_does_not_know_the_floor_is_not_followed() {
    let net = Net::settled().await;
    let mut floor = kms_types::BlockRef {
        number: 1_000,
        hash: BlockHash::new([7; 32]),
    };
    *net.floor.block.lock().unwrap() = Some(floor);
    let bridge = net.bridge().await;
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(
        error.to_string().contains("older than one acted on before"),
        "{error}"
    );

    // The same height under another hash: stop, and say so.
    floor.number = net.height().await - 2;
    *net.floor.block.lock().unwrap() = Some(floor);
    let error = net.bridge_with(net.config()).await.err().unwrap();
    assert!(
        matches!(error, BridgeError::Disagreement { number, .. } if number == floor.number),
        "{error}"
    );
    assert_eq!(error.code(), "chain_disagreement");
}

#[tokio::test]
async fn c5_nothing_is_decided_over_a_finalized_block_whose_floor_could_not_be_stored() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let before = bridge.status().finalized.unwrap();
    *net.floor.broken.lock().unwrap() = true;
    net.mine(5).await;
    let status = until(&bridge, |status| status.last_error.is_some()).await;
    assert_eq!(status.last_error.unwrap(), "height floor: disk full");
    assert_eq!(bridge.status().finalized.unwrap(), before);
    *net.floor.broken.lock().unwrap() = false;
    net.caught_up(&bridge).await;
    assert!(bridge.status().connected);
}
