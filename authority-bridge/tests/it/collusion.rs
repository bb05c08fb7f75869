//! Endpoints that lie together. Fewer than the threshold never make a grant, whatever chain they invent; who said what is
//! told within the bound; what they hide acts at the latest when the head is too old.

use crate::{
    fixture::{COMPOSE, Net, tool, until},
    ring::{DISAGREEMENT, PROMPT, Ring},
};
use alloy::{primitives::Address, sol_types::SolCall};
use authority_bridge::{Bridge, BridgeError, ChainStatus, Subject};
use authority_contracts::abi::AppAuthority;
use hostile_rpc::{InventedChain, Lie};
use kms_types::{BootRecord, ComposeHash};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Code that only the invented chain allows.
const EVIL: ComposeHash = ComposeHash::new([0xe1; 32]);

/// A chain on which the app's owner has allowed other code, and which has called that final. Nobody has the owner's key.
async fn invented(net: &Net) -> Arc<InventedChain> {
    let chain = InventedChain::fork(&net.anvil.endpoint_url(), &tool("anvil"))
        .await
        .unwrap();
    let allow = AppAuthority::addComposeHashCall {
        composeHash: EVIL.to_bytes().into(),
    };
    let app = Address::new(net.app.to_bytes());
    chain
        .send_as(net.anvil.addresses()[0], app, allow.abi_encode().into())
        .await
        .unwrap();
    chain.mine(3).await.unwrap();
    Arc::new(chain)
}

/// What the attacker wants keys for.
fn evil(ring: &Ring) -> BootRecord {
    let mut record = ring.unseen();
    record.info.compose_hash = EVIL;
    record
}

/// Waits until the endpoints' disagreement is told, and how long that took.
async fn disagreement(bridge: &Bridge) -> Duration {
    let from = Instant::now();
    until(bridge, |status| {
        status
            .last_error
            .as_ref()
            .is_some_and(|text| text.contains("disagree"))
    })
    .await;
    from.elapsed()
}

/// Nothing is decided, because the endpoints disagree; every one of them is named with what it said.
async fn split(ring: &Ring, bridge: &Bridge) {
    for record in [evil(ring), ring.net.record(), ring.unseen()] {
        let error = bridge.decide(Subject::App, &record).await.unwrap_err();
        assert_eq!(error.code(), "chain_disagreement", "{error}");
        let BridgeError::Split { views, .. } = &error else {
            panic!("{error}");
        };
        for (rpc, (name, _)) in ring.rpcs.iter().zip(views) {
            assert_eq!(name, &rpc.name());
        }
        assert_eq!(views.len(), 3, "{error}");
        assert!(views[0].1 == views[1].1 && views[1].1 != views[2].1, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(bridge.network().is_err());
}

async fn collude(ring: &Ring, chain: &Arc<InventedChain>, count: usize) {
    for rpc in &ring.rpcs[..count] {
        rpc.set(Lie::Chain(Arc::clone(chain)));
    }
}

#[tokio::test]
async fn the_invented_chain_does_allow_what_the_real_one_denies() {
    // Otherwise nothing below would show anything. With enough colluding endpoints no vote can help.
    for (count, threshold) in [(1, 1), (3, 2)] {
        let ring = Ring::new(count, threshold).await;
        let chain = invented(&ring.net).await;
        collude(&ring, &chain, threshold).await;
        let bridge = ring.start().await;
        assert!(ring.grants(&bridge, &evil(&ring)).await, "{threshold} of {count}");
    }
}

#[tokio::test]
async fn c2_two_of_three_on_an_invented_chain_with_threshold_three_while_it_runs() {
    let ring = Ring::new(3, 3).await;
    let bridge = ring.start().await;
    assert!(ring.grants(&bridge, &ring.net.record()).await);
    let chain = invented(&ring.net).await;
    ring.net.mine(3).await;
    collude(&ring, &chain, 2).await;
    let took = disagreement(&bridge).await;
    assert!(took < DISAGREEMENT + PROMPT, "told after {took:?}");
    split(&ring, &bridge).await;
    // It goes on inventing; nothing is believed, however long it gets.
    for _ in 0..5 {
        chain.mine(2).await.unwrap();
        ring.net.mine(1).await;
        assert!(!ring.grants(&bridge, &evil(&ring)).await);
    }
    // Back by itself once they are honest.
    ring.honest();
    until(&bridge, |status| status.connected).await;
    ring.serves(&bridge, "honest again").await;
    ring.refuses(&bridge, &[evil(&ring)], "honest again").await;
}

#[tokio::test]
async fn c2_two_of_three_on_an_invented_chain_with_threshold_three_from_the_start() {
    let ring = Ring::new(3, 3).await;
    let chain = invented(&ring.net).await;
    ring.net.mine(3).await;
    collude(&ring, &chain, 2).await;
    let bridge = ring.try_start().await.unwrap();
    // The three still share the block of the fork; on that nothing evil is allowed.
    assert!(!ring.grants(&bridge, &evil(&ring)).await);
    let took = disagreement(&bridge).await;
    assert!(took < DISAGREEMENT + PROMPT, "told after {took:?}");
    split(&ring, &bridge).await;
}

#[tokio::test]
async fn c2_two_of_three_with_two_stories_and_threshold_two() {
    for from_start in [false, true] {
        let ring = Ring::new(3, 2).await;
        let (one, other) = (invented(&ring.net).await, invented(&ring.net).await);
        ring.net.mine(3).await;
        let lie = || {
            ring.rpcs[0].set(Lie::Chain(Arc::clone(&one)));
            ring.rpcs[1].set(Lie::Chain(Arc::clone(&other)));
        };
        if from_start {
            lie();
        }
        let bridge = ring.try_start().await.unwrap();
        lie();
        let took = disagreement(&bridge).await;
        assert!(took < DISAGREEMENT + PROMPT, "told after {took:?}");
        for _ in 0..3 {
            assert!(!ring.grants(&bridge, &evil(&ring)).await);
            let error = bridge.decide(Subject::App, &evil(&ring)).await.unwrap_err();
            assert_eq!(error.code(), "chain_disagreement", "{error}");
            one.mine(1).await.unwrap();
            other.mine(2).await.unwrap();
        }
    }
}

#[tokio::test]
async fn c7_two_of_three_on_a_chain_beside_a_final_block_stop_the_node_for_good() {
    let ring = Ring::new(3, 2).await;
    let chain = invented(&ring.net).await;
    ring.net.mine(4).await;
    let bridge = ring.start().await;
    collude(&ring, &chain, 2).await;
    let status = until(&bridge, |status| status.halted).await;
    let text = status.last_error.unwrap();
    assert!(
        text.contains(&ring.rpcs[0].name()) && text.contains(&ring.rpcs[1].name()),
        "{text}"
    );
    let error = bridge.decide(Subject::App, &evil(&ring)).await.unwrap_err();
    assert_eq!(error.code(), "chain_disagreement", "{error}");
    // The floor is the real chain's: a restart under the lie does not help the liars.
    drop(bridge);
    match ring.try_start().await {
        Ok(bridge) => assert!(!ring.grants(&bridge, &evil(&ring)).await),
        Err(error) => assert_eq!(error.code(), "chain_disagreement", "{error}"),
    }
}

#[tokio::test]
async fn c2_one_of_three_on_an_invented_chain_costs_no_service() {
    let ring = Ring::new(3, 2).await;
    let chain = invented(&ring.net).await;
    ring.net.mine(1).await;
    for from_start in [false, true] {
        if from_start {
            collude(&ring, &chain, 1).await;
        }
        let bridge = ring.start().await;
        collude(&ring, &chain, 1).await;
        ring.serves(&bridge, "an invented chain").await;
        ring.refuses(&bridge, &[evil(&ring)], "an invented chain").await;
        ring.revokes(&bridge, "an invented chain").await;
        ring.names_the_liar(&bridge, "an invented chain").await;
        ring.allows_again().await;
        ring.honest();
    }
}

#[tokio::test]
async fn c5_two_of_three_that_freeze_the_view_with_threshold_three_hide_a_revocation_no_longer_than_the_bound()
 {
    let ring = Ring::new(3, 3).await;
    let bridge = ring.start().await;
    assert!(ring.grants(&bridge, &ring.net.record()).await);
    for rpc in &ring.rpcs[..2] {
        rpc.freeze().await.unwrap();
    }
    ring.net.revoke_compose(COMPOSE).await;
    ring.net.mine(3).await;
    let head = bridge.status().head.unwrap();
    until(&bridge, |status: &ChainStatus| {
        status.endpoints[2]
            .head
            .is_some_and(|seen| seen.number > head.number)
    })
    .await;
    ring.net.clock.advance(ring.config().max_head_age_s as i64 + 10);
    for record in [ring.net.record(), ring.unseen()] {
        let error = bridge.decide(Subject::App, &record).await.unwrap_err();
        assert_eq!(error.code(), "chain_stale", "{error}");
    }
    assert_eq!(bridge.status().head.unwrap(), head, "fewer than three say more");
}

#[tokio::test]
async fn c5_a_revocation_acts_at_once_while_one_of_three_freezes_the_view() {
    let ring = Ring::new(3, 2).await;
    for from_start in [false, true] {
        if from_start {
            ring.rpcs[0].freeze().await.unwrap();
        }
        let bridge = ring.start().await;
        assert!(ring.grants(&bridge, &ring.net.record()).await);
        ring.rpcs[0].freeze().await.unwrap();
        ring.revokes(&bridge, "an old view").await;
        bridge.shutdown().await;
        let again = ring.start().await;
        ring.refuses(&again, &[ring.net.record()], "an old view, from the start")
            .await;
        ring.honest();
        ring.allows_again().await;
    }
}

#[tokio::test]
async fn c2_two_that_tell_the_same_lie_about_state_prove_nothing() {
    // Headers are the chain's, so evidence is what it is, however many lie about it.
    for lie in [
        Lie::SlotSet,
        Lie::Code,
        Lie::AccountProofForged,
        Lie::EvidenceOfOlderBlock,
        Lie::NullResults,
    ] {
        let what = lie.to_string();
        let ring = Ring::new(3, 2).await;
        let bridge = ring.start().await;
        if !matches!(lie, Lie::NullResults) {
            ring.lie(2, &lie);
            ring.serves(&bridge, &what).await;
            ring.revokes(&bridge, &what).await;
        }
        ring.lie(3, &lie);
        ring.never_wrong(&bridge, &what).await;
    }
}

#[tokio::test]
async fn c2_two_that_invent_the_same_head_with_threshold_three() {
    let ring = Ring::new(3, 3).await;
    let bridge = ring.start().await;
    assert!(ring.grants(&bridge, &ring.net.record()).await);
    ring.lie(2, &Lie::InventedHead("stateRoot"));
    ring.net.mine(1).await;
    let took = disagreement(&bridge).await;
    assert!(took < DISAGREEMENT + PROMPT, "told after {took:?}");
    split(&ring, &bridge).await;
}

#[tokio::test]
async fn c2_two_that_invent_the_same_head_with_threshold_two_prove_nothing_under_it() {
    let ring = Ring::new(3, 2).await;
    let bridge = ring.start().await;
    ring.lie(2, &Lie::InventedHead("stateRoot"));
    ring.net.mine(1).await;
    until(&bridge, |status| !status.connected).await;
    ring.never_wrong(&bridge, "an invented head").await;
    let text = bridge.status().last_error.unwrap();
    assert!(text.contains("http://127.0.0.1:"), "{text}");
}
