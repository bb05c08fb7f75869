//! Random days of a chain: grants, revocations, pauses, blocks, reorganisations. After every step the bridge must say
//! exactly what the contract says at head and at finalized block together.

use crate::fixture::{COMPOSE, Net, reason, until};
use alloy::{
    network::TransactionBuilder, primitives::Address, providers::Provider, rpc::types::TransactionRequest,
};
use authority_bridge::{Bridge, Subject};
use authority_contracts::{Answer, abi::KmsAuthority, decode_answer, question};
use kms_types::{BlockHash, BootRecord, ComposeHash};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

const STEPS: usize = 80;

#[derive(Debug, Clone, Copy)]
enum Step {
    Allow(u8),
    Revoke(u8),
    Pause(bool),
    Mine(u64),
    Reorg(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..3).prop_map(Step::Allow),
        2 => (0u8..3).prop_map(Step::Revoke),
        1 => any::<bool>().prop_map(Step::Pause),
        3 => (1u64..4).prop_map(Step::Mine),
        2 => (1u64..3).prop_map(Step::Reorg),
    ]
}

const fn compose(index: u8) -> ComposeHash {
    ComposeHash::new([0xa0 + index; 32])
}

async fn take(net: &Net, step: Step) {
    match step {
        Step::Allow(index) => net.allow_compose(compose(index)).await,
        Step::Revoke(index) => net.revoke_compose(compose(index)).await,
        Step::Pause(paused) => net.kms(KmsAuthority::setReleasePausedCall { paused }).await,
        Step::Mine(blocks) => net.mine(blocks).await,
        // Finality is two blocks behind the head; deeper ones stop the bridge and have a test of their own.
        Step::Reorg(depth) => {
            net.raw("anvil_reorg", serde_json::json!([depth, []])).await;
        }
    }
}

/// What the contract says at a block; empty when it allows.
async fn said(net: &Net, record: &BootRecord, block: u64) -> String {
    let data = question::is_app_allowed(record);
    let request = TransactionRequest::default()
        .with_to(net.contract())
        .with_from(Address::ZERO)
        .with_input(data);
    let answer = net
        .owner
        .provider()
        .call(request)
        .block(block.into())
        .await
        .unwrap();
    match decode_answer(&answer).unwrap() {
        Answer::Allowed => String::new(),
        Answer::Denied(denial) => denial.reason().to_owned(),
    }
}

async fn check(net: &Net, bridge: &Bridge, story: &[Step]) {
    let latest = net
        .raw("eth_getBlockByNumber", serde_json::json!(["latest", false]))
        .await;
    let hash: BlockHash = latest["hash"].as_str().unwrap().parse().unwrap();
    let status = until(bridge, |status| status.head.is_some_and(|head| head.hash == hash)).await;
    let (head, finalized) = (status.head.unwrap().number, status.finalized.unwrap().number);
    assert_eq!(finalized, head - 2);
    for hash in [COMPOSE, compose(0), compose(1), compose(2)] {
        let mut record = net.record();
        record.info.compose_hash = hash;
        let decided = bridge.decide(Subject::App, &record).await.unwrap();
        assert_eq!((decided.head.number, decided.finalized.number), (head, finalized));
        let (at_head, at_finalized) = (
            said(net, &record, head).await,
            said(net, &record, finalized).await,
        );
        let expected = match (at_head.as_str(), at_finalized.as_str()) {
            ("", "") => String::new(),
            ("", later) => format!("not_yet_final: {later}"),
            (now, _) => now.to_owned(),
        };
        assert_eq!(reason(&decided), expected, "{story:?}");
        assert_eq!(decided.is_allowed(), expected.is_empty());
    }
}

#[tokio::test]
async fn c4_c7_no_grant_that_was_not_allowed_at_finalized_and_head() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let mut runner = TestRunner::deterministic();
    let mut story = Vec::new();
    for _ in 0..STEPS {
        let next = step().new_tree(&mut runner).unwrap().current();
        story.push(next);
        take(&net, next).await;
        check(&net, &bridge, &story).await;
    }
    let status = bridge.status();
    assert!(status.reorgs > 3 && !status.halted, "{status:?}");
}
