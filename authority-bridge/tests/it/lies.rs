//! Every lie by name, told by the only endpoint and by one of three. The only one may withhold for as long as a head is
//! fresh, and never more: nothing the contract denies is granted. One of three changes nothing at all.

use crate::{
    fixture::{COMPOSE, PATIENCE},
    ring::Ring,
};
use authority_bridge::{Bridge, BridgeError, Subject};
use hostile_rpc::{HEADER_FIELDS, Lie};
use std::time::Duration;

/// Whether a node can find out about the lie from what it asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It is checkable, so the endpoint must be reported by name.
    Named,
    /// It is checkable, but only whoever answers fastest is asked for evidence: among several the liar may never be. Told
    /// alone it is named, see [`alone`].
    NamedIfAsked,
    /// It is about what a node does not ask or does not need, or no more than being slow or behind.
    Harmless,
}
use Told::{Harmless, Named, NamedIfAsked};

/// The only endpoint tells the lie: while the bridge runs, and from the start.
async fn alone(lie: Lie) {
    let what = lie.to_string();
    let ring = Ring::new(1, 1).await;
    let bridge = ring.start().await;
    assert!(ring.grants(&bridge, &ring.net.record()).await, "{what}");
    tell_alone(&ring, &bridge, &lie).await;
    // From the start; a floor of its own, as on a new machine.
    *ring.net.floor.block.lock().unwrap() = None;
    ring.lie(1, &lie);
    match ring.try_start().await {
        Ok(bridge) => {
            ring.never_wrong(&bridge, &what).await;
            ring.net.clock.advance(300);
            assert!(
                !ring.grants(&bridge, &ring.net.record()).await,
                "{what}: it was revoked"
            );
        }
        Err(error) => ring.is_named(&error.to_string(), &what),
    }
}

/// Leaves the record revoked and the endpoint honest.
async fn tell_alone(ring: &Ring, bridge: &Bridge, lie: &Lie) {
    let what = lie.to_string();
    ring.lie(1, lie);
    ring.never_wrong(bridge, &what).await;
    for record in [ring.net.record(), ring.unseen()] {
        match bridge.decide(Subject::App, &record).await {
            Ok(decided) => assert!(decided.is_allowed(), "{what}: a lie made it {decided:?}"),
            Err(error) => blames(ring, &error, &what),
        }
    }
    ring.net.revoke_compose(COMPOSE).await;
    ring.noticed(bridge).await;
    ring.never_wrong(bridge, &what).await;
    // A revocation can be hidden until the head is too old, and no longer.
    ring.net.clock.advance(300);
    for record in [ring.net.record(), ring.unseen()] {
        assert!(
            !ring.grants(bridge, &record).await,
            "{what}: granted after the bound"
        );
    }
    ring.net.clock.advance(-300);
    ring.honest();
    if !bridge.status().halted {
        ring.follows_within(PATIENCE, bridge, &what).await;
        ring.refuses(bridge, &[ring.net.record(), ring.unseen()], &what)
            .await;
    }
}

fn blames(ring: &Ring, error: &BridgeError, what: &str) {
    // What the chain is judged by as a whole has no endpoint in it.
    let about_the_chain = matches!(
        error,
        BridgeError::Clock { .. } | BridgeError::Stale { .. } | BridgeError::Contract { .. }
    );
    if !about_the_chain {
        ring.is_named(&error.to_string(), what);
    }
}

/// One of three tells the lie: while the bridge runs, and from the start.
async fn one_of_three(lie: Lie, told: Told) {
    let what = lie.to_string();
    let ring = Ring::new(3, 2).await;
    let bridge = ring.start().await;
    assert!(ring.grants(&bridge, &ring.net.record()).await, "{what}");
    tell_among_three(&ring, &bridge, &lie, told).await;
    bridge.shutdown().await;
    ring.lie(1, &lie);
    let bridge = ring.try_start().await.unwrap();
    bridge.ready(PATIENCE).await.unwrap();
    ring.serves(&bridge, &format!("{what}, from the start")).await;
    if told == NamedIfAsked {
        ring.others_are_well(&bridge, &what).await;
    }
}

/// Leaves the record allowed and the endpoint honest.
async fn tell_among_three(ring: &Ring, bridge: &Bridge, lie: &Lie, told: Told) {
    let what = lie.to_string();
    ring.lie(1, lie);
    ring.serves(bridge, &what).await;
    ring.revokes(bridge, &what).await;
    if told == Named {
        ring.names_the_liar(bridge, &what).await;
    }
    ring.others_are_well(bridge, &what).await;
    ring.allows_again().await;
    ring.follows(bridge, &what).await;
    ring.serves(bridge, &what).await;
    ring.honest();
}

macro_rules! lies {
    ($($name:ident: $lie:expr, $told:ident;)*) => {
        mod alone_never_grants_what_is_denied {
            use hostile_rpc::Lie;
            $(#[tokio::test] async fn $name() { super::alone($lie).await; })*
        }
        mod among_three_costs_no_service {
            use super::{Harmless, Named, NamedIfAsked};
            use hostile_rpc::Lie;
            $(#[tokio::test] async fn $name() { super::one_of_three($lie, $told).await; })*
        }
    };
}

lies! {
    c3_an_empty_slot_is_set: Lie::SlotSet, NamedIfAsked;
    c3_a_set_slot_is_empty: Lie::SlotCleared, NamedIfAsked;
    c3_a_slot_proof_that_ends_early: Lie::SlotProofCut, NamedIfAsked;
    c3_a_forged_slot_proof: Lie::SlotProofForged, NamedIfAsked;
    c3_slots_left_out: Lie::SlotOmitted, NamedIfAsked;
    c3_slots_in_another_order: Lie::SlotReordered, NamedIfAsked;
    c3_code_that_always_allows: Lie::Code, NamedIfAsked;
    c3_no_code: Lie::CodeMissing, NamedIfAsked;
    c3_another_balance: Lie::Balance, NamedIfAsked;
    c3_another_nonce: Lie::Nonce, NamedIfAsked;
    c3_another_storage_root: Lie::StorageRoot, NamedIfAsked;
    c3_another_code_hash: Lie::CodeHash, NamedIfAsked;
    c3_accounts_that_do_not_exist: Lie::AccountAbsent, NamedIfAsked;
    c3_an_account_proof_that_ends_early: Lie::AccountProofCut, NamedIfAsked;
    c3_a_forged_account_proof: Lie::AccountProofForged, NamedIfAsked;
    c3_an_oversized_proof: Lie::AccountProofOversized, NamedIfAsked;
    c3_the_proof_of_another_account: Lie::AccountProofOfOther, NamedIfAsked;
    c3_evidence_of_an_older_block: Lie::EvidenceOfOlderBlock, NamedIfAsked;
    an_empty_access_list: Lie::AccessListEmpty, Harmless;
    a_huge_access_list: Lie::AccessListHuge, Harmless;
    c2_another_block_by_hash: Lie::OtherBlockByHash, Harmless;
    c2_another_block_by_number: Lie::OtherBlockByNumber, Harmless;
    blocks_that_are_not_known: Lie::BlocksUnknown, Harmless;
    c5_an_older_head: Lie::HeadOlder(2), Harmless;
    c5_a_head_that_is_always_genesis: Lie::HeadOlder(1_000_000), Harmless;
    c5_an_older_finalized_block: Lie::FinalizedOlder(3), Harmless;
    c4_the_head_as_finalized_block: Lie::FinalizedNewer, Harmless;
    no_finalized_block: Lie::FinalizedMissing, Named;
    no_head: Lie::HeadMissing, Named;
    head_and_finalized_block_exchanged: Lie::TagsSwapped, Harmless;
    c1_another_chain_id: Lie::ChainId, Named;
    a_block_number_ahead: Lie::BlockNumberAhead, Harmless;
    block_number_zero: Lie::BlockNumberZero, Harmless;
    logs_left_out: Lie::LogsHidden, Harmless;
    invented_logs: Lie::LogsInvented, Harmless;
    receipts_left_out: Lie::ReceiptsHidden, Harmless;
    receipts_of_failure: Lie::ReceiptsFailed, Harmless;
    receipts_with_other_logs: Lie::ReceiptsAltered, Harmless;
    receipts_twice: Lie::ReceiptsDoubled, Harmless;
    c6_a_stall: Lie::Stall, Named;
    c6_a_stall_after_the_headers: Lie::StallAfterHeaders, Named;
    c6_a_trickle: Lie::Trickle, Named;
    c6_http_429: Lie::Status(429), Named;
    c6_http_500: Lie::Status(500), Named;
    c6_a_redirect: Lie::Redirect, Named;
    c6_a_truncated_body: Lie::Truncated, Named;
    c6_an_oversized_body: Lie::Oversized, Named;
    c6_a_deeply_nested_body: Lie::DeeplyNested, Named;
    c6_a_deeply_nested_result: Lie::DeepResult, Named;
    c6_garbage: Lie::Garbage, Named;
    c6_an_empty_body: Lie::Empty, Named;
    c6_a_null_body: Lie::Null, Named;
    c6_no_answers: Lie::NoAnswers, Named;
    c6_answers_under_other_ids: Lie::OtherIds, Named;
    c6_exchanged_answers: Lie::AnswersExchanged, Named;
    c6_null_results: Lie::NullResults, Named;
    c6_json_rpc_errors: Lie::RpcErrors, Named;
    c6_huge_numbers: Lie::HugeNumbers, Named;
    c2_another_answer_for_each_request: Lie::PerRequest(vec![Lie::Honest, Lie::InventedHead("stateRoot"), Lie::SlotSet, Lie::Code]), Named;
    c2_another_answer_for_each_connection: Lie::PerConnection(vec![Lie::Honest, Lie::InventedHead("stateRoot"), Lie::SlotSet, Lie::Code]), Named;
}

/// Fields of a header, its hash left as it was.
fn changed() -> impl Iterator<Item = Lie> {
    HEADER_FIELDS.into_iter().map(Lie::Header)
}

/// Fields of a header, its hash made to fit.
fn invented(lie: fn(&'static str) -> Lie) -> impl Iterator<Item = Lie> {
    HEADER_FIELDS
        .into_iter()
        .filter(|field| *field != "hash")
        .map(lie)
}

/// Each in turn, by the only endpoint; a bridge that has stopped for good is replaced.
async fn each_alone(lies: impl Iterator<Item = Lie>) {
    let ring = Ring::new(1, 1).await;
    for lie in lies {
        *ring.net.floor.block.lock().unwrap() = None;
        let bridge = ring.start().await;
        assert!(ring.grants(&bridge, &ring.net.record()).await, "{lie}");
        tell_alone(&ring, &bridge, &lie).await;
        bridge.shutdown().await;
        ring.allows_again().await;
    }
}

/// Each in turn, by one of three. A bridge for each, so that one lie is not blamed for another.
async fn each_among_three(lies: impl Iterator<Item = Lie>) {
    let ring = Ring::new(3, 2).await;
    for lie in lies {
        let (bridge, what) = (ring.start().await, lie.to_string());
        ring.lie(1, &lie);
        ring.serves(&bridge, &what).await;
        // A finalized block above the head may be one of another machine behind the same name.
        if !matches!(lie, Lie::InventedFinalized("number")) {
            ring.names_the_liar(&bridge, &what).await;
        }
        bridge.shutdown().await;
        ring.honest();
    }
}

#[tokio::test]
async fn c2_any_header_field_changed_under_the_same_hash_alone_grants_nothing() {
    each_alone(changed()).await;
}

#[tokio::test]
async fn c2_any_header_field_changed_under_the_same_hash_among_three_costs_no_service() {
    each_among_three(changed()).await;
}

#[tokio::test]
async fn c2_an_invented_head_with_any_field_changed_alone_grants_nothing() {
    each_alone(invented(Lie::InventedHead)).await;
}

#[tokio::test]
async fn c2_an_invented_head_with_any_field_changed_among_three_costs_no_service() {
    each_among_three(invented(Lie::InventedHead)).await;
}

#[tokio::test]
async fn c2_an_invented_finalized_block_with_any_field_changed_alone_grants_nothing() {
    each_alone(invented(Lie::InventedFinalized)).await;
}

#[tokio::test]
async fn c2_an_invented_finalized_block_leaves_no_mark() {
    let ring = Ring::new(1, 1).await;
    let bridge = ring.start().await;
    ring.lie(1, &Lie::InventedFinalized("stateRoot"));
    ring.net.mine(1).await;
    crate::fixture::until(&bridge, |status| !status.connected).await;
    ring.honest();
    ring.net.mine(1).await;
    ring.follows_within(PATIENCE, &bridge, "after the lie").await;
    let status = bridge.status();
    let kept = ring.net.floor.block.lock().unwrap().unwrap();
    assert_eq!(status.finalized.unwrap().block_ref(), kept, "{status:?}");
    assert!(ring.grants(&bridge, &ring.net.record()).await);
}

#[tokio::test]
async fn c2_an_invented_finalized_block_with_any_field_changed_among_three_costs_no_service() {
    each_among_three(invented(Lie::InventedFinalized)).await;
}

#[tokio::test]
async fn c5_a_replayed_old_view_alone_hides_a_revocation_no_longer_than_the_bound() {
    let ring = Ring::new(1, 1).await;
    let bridge = ring.start().await;
    assert!(ring.grants(&bridge, &ring.net.record()).await);
    ring.rpcs[0].freeze().await.unwrap();
    ring.net.revoke_compose(COMPOSE).await;
    // Within the bound it is the newest view there is.
    assert!(ring.grants(&bridge, &ring.net.record()).await);
    let bound = ring.config().max_head_age_s as i64;
    ring.net.clock.advance(bound + 10);
    let error = bridge.decide(Subject::App, &ring.net.record()).await.unwrap_err();
    assert_eq!(error.code(), "chain_stale", "{error}");
}

#[tokio::test]
async fn c5_a_replayed_old_view_among_three_costs_no_service() {
    let ring = Ring::new(3, 2).await;
    let bridge = ring.start().await;
    ring.rpcs[0].freeze().await.unwrap();
    ring.serves(&bridge, "an old view").await;
    ring.revokes(&bridge, "an old view").await;
    ring.others_are_well(&bridge, "an old view").await;
    let status = bridge.status();
    let (liar, honest) = (
        status.endpoints[0].head.unwrap(),
        status.endpoints[1].head.unwrap(),
    );
    assert!(liar.number < honest.number, "its age is there to see: {status:?}");
    assert!(
        !ring.grants(&ring.start().await, &ring.net.record()).await,
        "nor from the start"
    );
}

/// A bridge that polls so rarely that only announcements move it.
async fn announced(ring: &Ring) -> Bridge {
    let mut config = ring.config();
    for (endpoint, rpc) in config.endpoints.iter_mut().zip(&ring.rpcs) {
        endpoint.ws = Some(rpc.ws_url());
    }
    config.poll_interval = Duration::from_millis(200);
    let bridge = ring.net.bridge_with(config).await.unwrap();
    crate::fixture::until(&bridge, |status| status.subscribed).await;
    bridge
}

#[tokio::test]
async fn c2_lies_about_heads_over_websocket_move_nothing() {
    for lie in [
        Lie::FalseHeads,
        Lie::HeadsSilent,
        Lie::HeadsGarbage,
        Lie::HeadsOversized,
    ] {
        for count in [1, 3] {
            let what = format!("{lie}, one of {count}");
            let ring = Ring::new(count, count.div_ceil(2)).await;
            let bridge = announced(&ring).await;
            ring.lie(1, &lie);
            ring.serves(&bridge, &what).await;
            ring.revokes(&bridge, &what).await;
        }
    }
}
