//! A provider that lies. Every lie is told by a proxy in front of real Anvil and must be refused by name.

use crate::fixture::{Net, until};
use authority_bridge::{Bridge, BridgeError, Subject};
use hostile_rpc::HostileRpc;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// A bridge that follows honestly until the proxy is told otherwise.
async fn behind_proxy(net: &Net) -> (Bridge, HostileRpc) {
    let proxy = HostileRpc::start(net.anvil.endpoint_url()).await.unwrap();
    let mut config = net.config();
    config.endpoints = vec![proxy.url().into()];
    config.request_timeout = Duration::from_secs(5);
    let bridge = net.bridge_with(config).await.unwrap();
    (bridge, proxy)
}

/// Tells one lie in `method`, asks for a decision that needs evidence, and returns why it was refused.
async fn refused(method: &'static str, lie: impl Fn(&Value, &mut Value) + Send + Sync + 'static) -> String {
    let net = Net::settled().await;
    let (bridge, proxy) = behind_proxy(&net).await;
    proxy.about(method, lie);
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert_eq!(error.code(), "chain_unavailable", "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("http://127.0.0.1:"),
        "names the endpoint: {text}"
    );
    assert!(
        !text.contains("secret") && !text.contains("key-in-path"),
        "{text}"
    );
    // Once the provider is honest, the same question is answered.
    proxy.honest();
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    text
}

fn is_zero(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.trim_start_matches("0x").chars().all(|c| c == '0'))
}

#[tokio::test]
async fn c3_a_lie_that_an_empty_slot_is_set_is_refused() {
    let text = refused("eth_getProof", |_, result| {
        for slot in result["storageProof"].as_array_mut().unwrap() {
            if is_zero(&slot["value"]) {
                slot["value"] = json!("0x1");
            }
        }
    })
    .await;
    assert!(
        text.contains("slot 0x") && text.contains("proof refused"),
        "{text}"
    );
}

#[tokio::test]
async fn c3_a_lie_that_a_set_slot_is_empty_is_refused() {
    let text = refused("eth_getProof", |_, result| {
        for slot in result["storageProof"].as_array_mut().unwrap() {
            slot["value"] = json!("0x0");
        }
    })
    .await;
    assert!(
        text.contains("slot 0x") && text.contains("proof refused"),
        "{text}"
    );
}

#[tokio::test]
async fn c3_a_slot_proof_that_ends_early_is_refused() {
    let text = refused("eth_getProof", |_, result| {
        for slot in result["storageProof"].as_array_mut().unwrap() {
            slot["proof"].as_array_mut().unwrap().pop();
            slot["value"] = json!("0x0");
        }
    })
    .await;
    assert!(text.contains("proof refused"), "{text}");
}

#[tokio::test]
async fn c3_a_lie_about_nonce_balance_storage_root_or_code_hash_is_refused() {
    for (field, lie) in [
        ("nonce", json!("0x7")),
        ("balance", json!("0x7")),
        ("storageHash", json!(format!("0x{}", "56".repeat(32)))),
        ("codeHash", json!(format!("0x{}", "56".repeat(32)))),
    ] {
        let text = refused("eth_getProof", move |_, result| result[field] = lie.clone()).await;
        assert!(
            text.contains("account 0x") && text.contains("proof refused"),
            "{field}: {text}"
        );
    }
}

#[tokio::test]
async fn c3_a_lie_that_the_app_does_not_exist_is_refused() {
    let text = refused("eth_getProof", |_, result| {
        result["nonce"] = json!("0x0");
        result["balance"] = json!("0x0");
        result["codeHash"] = json!("0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
        result["storageHash"] = json!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
    })
    .await;
    assert!(
        text.contains("account 0x") && text.contains("proof refused"),
        "{text}"
    );
}

#[tokio::test]
async fn c3_other_code_is_refused() {
    let text = refused("eth_getCode", |_, result| {
        *result = json!("0x600160005260206000f3")
    })
    .await;
    assert!(
        text.contains("code of 0x") && text.contains("expected hash"),
        "{text}"
    );
}

#[tokio::test]
async fn c3_oversized_and_reordered_proofs_are_refused() {
    let text = refused("eth_getProof", |_, result| {
        result["accountProof"] = json!(vec!["0x80"; 100]);
    })
    .await;
    assert!(
        text.contains("nodes of a proof: expected at most 65, got 100"),
        "{text}"
    );
    let text = refused("eth_getProof", |_, result| {
        result["storageProof"].as_array_mut().unwrap().clear();
    })
    .await;
    assert!(text.contains("expected the slots asked for"), "{text}");
}

#[tokio::test]
async fn c3_an_access_list_that_lies_only_costs_time() {
    let net = Net::settled().await;
    let (bridge, proxy) = behind_proxy(&net).await;
    proxy.about("eth_createAccessList", |_, result| {
        *result = json!({"accessList": [], "gasUsed": "0x0"})
    });
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    proxy.about("eth_createAccessList", |_, result| *result = Value::Null);
    let mut other = net.record();
    other.tdx_module_svn = 7;
    assert!(bridge.decide(Subject::App, &other).await.unwrap().is_allowed());
}

#[tokio::test]
async fn c2_a_header_with_a_changed_field_is_refused() {
    for (field, lie) in [
        ("stateRoot", json!(format!("0x{}", "11".repeat(32)))),
        ("timestamp", json!("0x7fffffff")),
        ("number", json!("0xffffff")),
        ("parentHash", json!(format!("0x{}", "11".repeat(32)))),
        ("hash", json!(format!("0x{}", "11".repeat(32)))),
    ] {
        let net = Net::settled().await;
        let (bridge, proxy) = behind_proxy(&net).await;
        let before = bridge.status().head.unwrap();
        proxy.about("eth_getBlockByNumber", move |_, result| {
            result[field] = lie.clone()
        });
        net.mine(1).await;
        let status = until(&bridge, |status| !status.connected).await;
        let error = status.last_error.unwrap();
        assert!(error.contains("expected hash 0x"), "{field}: {error}");
        assert_eq!(bridge.status().head.unwrap(), before);
    }
}

#[tokio::test]
async fn c3_a_block_whose_accounts_are_lied_about_is_not_published() {
    let net = Net::settled().await;
    let (bridge, proxy) = behind_proxy(&net).await;
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    let before = bridge.status().head.unwrap();
    proxy.about("eth_getProof", |_, result| result["nonce"] = json!("0x99"));
    net.revoke_compose(crate::fixture::COMPOSE).await;
    let status = until(&bridge, |status| !status.connected).await;
    assert!(status.last_error.unwrap().contains("proof refused"));
    assert_eq!(bridge.status().head.unwrap(), before);
    // Withholding a revocation this way works until the head is too old, and no longer.
    net.clock.advance(120);
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(matches!(error, BridgeError::Evidence { .. }), "{error}");
}

#[tokio::test]
async fn c6_an_app_that_cannot_be_proven_any_more_holds_up_no_head() {
    let net = Net::settled().await;
    let (bridge, proxy) = behind_proxy(&net).await;
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
    // What the decision read is to be proven at the next block, and cannot be.
    let app = format!("0x{}", net.app.to_plain_hex());
    proxy.about("eth_getProof", move |_, result| {
        if result["address"] == app.as_str() {
            result["nonce"] = json!("0x7");
        }
    });
    net.allow_compose(kms_types::ComposeHash::new([0xee; 32])).await;
    net.mine(1).await;
    net.caught_up(&bridge).await;
    assert!(bridge.status().connected, "{:?}", bridge.status());
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(matches!(error, BridgeError::Evidence { .. }), "{error}");
    proxy.honest();
    assert!(
        bridge
            .decide(Subject::App, &net.record())
            .await
            .unwrap()
            .is_allowed()
    );
}

#[tokio::test]
async fn c6_an_app_contract_that_reads_without_end_denies_only_itself() {
    let net = Net::settled().await;
    let mut config = net.config();
    config.max_rounds_per_decision = 1;
    let bridge = Arc::new(net.bridge_with(config).await.unwrap());
    let error = bridge.decide(Subject::App, &net.record()).await.unwrap_err();
    assert!(
        matches!(
            error,
            BridgeError::TooMuch {
                what: "rounds of fetching for one call",
                limit: 1
            }
        ),
        "{error}"
    );
    assert_eq!(error.code(), "chain_unavailable");
}
