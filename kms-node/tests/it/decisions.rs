//! Decisions in the database, on both engines: filed once, read back as they were, thrown away when old, void when their head
//! was orphaned.

use crate::{
    chain_store::{chain_store, sqlite},
    support::postgres::Postgres,
};
use authority_bridge::{
    ChainStore, Decided, Finality, Subject, Verdict,
    store::{Recorded, Retention, Standing, StoreError},
};
use authority_policy::{DecisionEvidence, Expected};
use kms_node::store::Store;
use kms_types::{AppId, BlockHash, ChainId, UnixTime};
use std::time::Duration;
use tempfile::TempDir;

/// The evidence of a real node's decision about itself: a seed of the fuzz target.
const FILE: &[u8] =
    include_bytes!("../../../authority-bridge/policy/fuzz/seeds/decision_file/kms-node-allowed");
const CHAIN: ChainId = ChainId(31337);
const APP: AppId = AppId::new([5; 20]);

fn evidence() -> DecisionEvidence {
    DecisionEvidence::from_json(FILE).unwrap()
}

/// A decision like the file's, at a head of this number.
fn decision(number: u64, evidence: Result<DecisionEvidence, String>) -> Recorded {
    let verified = self::evidence().check(&Expected::default()).outcome.unwrap();
    let mut head = verified.head;
    (head.number, head.hash) = (number, BlockHash::new([number as u8; 32]));
    Recorded {
        subject: Subject::Kms,
        app_id: APP,
        decided: Decided {
            verdict: verified.verdict,
            decided_by: verified.decided_by,
            head,
            finalized: verified.finalized,
            record_hash: verified.record_hash,
        },
        time: UnixTime(1000 + number),
        evidence,
    }
}

async fn count(store: &ChainStore, table: &'static str) -> i64 {
    let sql = match table {
        "decision" => "SELECT COUNT(*) FROM decision",
        _ => "SELECT COUNT(*) FROM decision_part",
    };
    let row: (i64,) = sqlx::query_as::<sqlx::Any, _>(sql)
        .fetch_one(store.pool())
        .await
        .unwrap();
    row.0
}

async fn finalized_is(store: &ChainStore, number: u64, hash: [u8; 32]) {
    sqlx::query::<sqlx::Any>(
        "INSERT INTO chain_header (chain_id, contract, number, hash, parent, time, state_root, receipts_root, rlp, has_events) \
         VALUES (31337, $1, $2, $3, '', 0, '', '', '', 0)",
    )
    .bind(hex::encode([0xaa; 20]))
    .bind(number as i64)
    .bind(hex::encode(hash))
    .execute(store.pool())
    .await
    .unwrap();
}

async fn decisions_hold(database: &Store) {
    let store = chain_store(database, CHAIN);
    let denied = |number: u64| {
        let mut denied = decision(number, Err("the state was forgotten".to_owned()));
        denied.app_id = AppId::new([6; 20]);
        denied.decided.decided_by = Finality::Head;
        denied.decided.verdict = Verdict::Denied {
            reason: "no\0 way".to_owned(),
        };
        denied
    };
    let batch = [
        decision(1, Ok(evidence())),
        denied(2),
        decision(3, Ok(evidence())),
        decision(1, Ok(evidence())),
    ];
    assert_eq!(store.record(&batch).await.unwrap(), 3, "the fourth is the first");
    assert_eq!(store.record(&batch).await.unwrap(), 0);

    let all = store.decisions(0, 10, None).await.unwrap();
    assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(
        (all[0].verdict.clone(), all[0].standing),
        (Verdict::Allowed, Standing::Open)
    );
    assert_eq!(all[1].missing.as_deref(), Some("the state was forgotten"));
    assert_eq!(all[1].decided_by, Finality::Head);
    let of_app = store.decisions(0, 10, Some(APP)).await.unwrap();
    assert_eq!(of_app.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(store.decisions(2, 1, None).await.unwrap(), all[1..2]);
    assert!(
        chain_store(database, ChainId(1))
            .decisions(0, 10, None)
            .await
            .unwrap()
            .is_empty()
    );

    let kept = store.decision_evidence(1).await.unwrap().unwrap().unwrap();
    assert_eq!(kept.to_json().unwrap(), FILE, "byte for byte");
    let none = store.decision_evidence(2).await.unwrap().unwrap();
    assert_eq!(none.unwrap_err(), "the state was forgotten");
    assert!(store.decision_evidence(4).await.unwrap().is_none());
    let parts = count(&store, "part").await;
    let witness = evidence().witness;
    assert_eq!(
        parts as usize,
        witness.nodes.len() + witness.codes.len() + evidence().links.len()
    );
}

async fn c7_heads_that_were_orphaned_void_decisions(database: &Store) {
    let store = chain_store(database, CHAIN);
    finalized_is(&store, 1, [1; 32]).await;
    finalized_is(&store, 2, [9; 32]).await;
    assert_eq!(store.settle_decisions().await.unwrap(), 2);
    let all = store.decisions(0, 10, None).await.unwrap();
    let standing: Vec<Standing> = all.iter().map(|one| one.standing).collect();
    assert_eq!(standing, [Standing::Final, Standing::Orphaned, Standing::Open]);
    assert_eq!(store.settle_decisions().await.unwrap(), 0, "settled for good");
}

async fn old_ones_go(database: &Store) {
    let store = chain_store(database, CHAIN);
    let now = UnixTime(2000);
    let keep = |count, age_s| Retention { count, age_s };
    assert_eq!(store.prune_decisions(keep(3, 5000), now).await.unwrap(), 0);
    assert_eq!(store.prune_decisions(keep(2, 5000), now).await.unwrap(), 1);
    // The third still needs what the first needed.
    let kept = store.decision_evidence(3).await.unwrap().unwrap().unwrap();
    assert_eq!(kept, evidence());
    assert_eq!(store.prune_decisions(keep(2, 998), now).await.unwrap(), 0);
    assert_eq!(store.prune_decisions(keep(2, 996), now).await.unwrap(), 2);
    assert_eq!(
        (count(&store, "decision").await, count(&store, "part").await),
        (0, 0)
    );
    let again = [decision(7, Ok(evidence()))];
    assert_eq!(store.record(&again).await.unwrap(), 1);
    assert_eq!(
        store.decisions(0, 10, None).await.unwrap()[0].id,
        4,
        "no number twice"
    );
}

async fn damaged_parts_are_found(database: &Store) {
    let store = chain_store(database, CHAIN);
    let id = store.decisions(0, 10, None).await.unwrap()[0].id;
    sqlx::query::<sqlx::Any>(
        "UPDATE decision_part SET bytes = '00' WHERE hash = (SELECT MIN(hash) FROM decision_part)",
    )
    .execute(store.pool())
    .await
    .unwrap();
    let error = store.decision_evidence(id).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    sqlx::query::<sqlx::Any>("DELETE FROM decision_part")
        .execute(store.pool())
        .await
        .unwrap();
    let error = store.decision_evidence(id).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

async fn all_of_it(database: &Store) {
    decisions_hold(database).await;
    c7_heads_that_were_orphaned_void_decisions(database).await;
    old_ones_go(database).await;
    damaged_parts_are_found(database).await;
}

#[tokio::test]
async fn c7_decisions_on_sqlite() {
    let folder = TempDir::new().unwrap();
    all_of_it(&sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c7_decisions_on_postgres_with_two_nodes() {
    let postgres = Postgres::start().await;
    let url = postgres.url();
    let open = || Store::open(&url, 4, Duration::from_secs(5));
    let (one, two) = (open().await.unwrap(), open().await.unwrap());
    all_of_it(&one).await;
    let (one, two) = (chain_store(&one, CHAIN), chain_store(&two, CHAIN));
    let file = |store: ChainStore, from: u64| async move {
        for number in from..from + 10 {
            let batch = [
                decision(number, Ok(evidence())),
                decision(number + 5, Ok(evidence())),
            ];
            store.record(&batch).await.unwrap();
        }
    };
    tokio::join!(file(one.clone(), 20), file(two, 25));
    let ids: Vec<u64> = one
        .decisions(5, 200, None)
        .await
        .unwrap()
        .iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(ids, (5..25).collect::<Vec<_>>(), "twenty heads, each once");
}
