//! The audit trail over a real chain and a real database: nothing invented, nothing left out, nothing lost.

use crate::{
    fixture::{COMPOSE, Net, PATIENCE},
    postgres::Postgres,
    ring::Ring,
};
use alloy::primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use authority_bridge::{
    Bridge, BridgeError, ChainStore, Endpoint, Evidence, EvidenceSource, Want,
    audit::{Audit, AuditStatus},
    store::{Database, StoredEvent, migrations},
};
use hostile_rpc::Lie;
use kms_types::{ChainId, ComposeHash};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

async fn store(net: &Net, folder: &Path) -> (Database, ChainStore) {
    let url = format!("sqlite:{}?mode=rwc", folder.join("chain.db").display());
    let database = Database::open(&url, 2, PATIENCE, migrations()).await.unwrap();
    let store = ChainStore::new(database.pool().clone(), ChainId(31337), net.network.kms_authority);
    (database, store)
}

async fn wait(audit: &Audit, condition: impl Fn(&AuditStatus) -> bool) -> AuditStatus {
    let mut status = audit.status();
    let met = status.wait_for(|status| condition(status));
    tokio::time::timeout(PATIENCE, met)
        .await
        .unwrap()
        .unwrap()
        .clone()
}

async fn done(audit: &Audit, number: u64) {
    wait(audit, |status| {
        status.done.is_some_and(|done| done.number >= number)
    })
    .await;
}

async fn names(store: &ChainStore, app: Option<kms_types::AppId>) -> Vec<StoredEvent> {
    store.events(0, 256, app).await.unwrap().events
}

/// Receipts without the last log, until it is told to be honest.
struct Hiding(Endpoint, AtomicBool);

#[async_trait]
impl EvidenceSource for Hiding {
    fn name(&self) -> &str {
        "http://liar"
    }
    async fn evidence(&self, block: B256, wants: &[Want]) -> Result<Vec<Evidence>, BridgeError> {
        self.0.evidence(block, wants).await
    }
    async fn hint(&self, block: B256, contract: Address, call: Bytes) -> Result<Vec<Want>, BridgeError> {
        self.0.hint(block, contract, call).await
    }
    async fn receipts(&self, block: B256) -> Result<Vec<alloy::consensus::ReceiptEnvelope>, BridgeError> {
        let mut receipts = self.0.receipts(block).await?;
        if self.1.load(Ordering::SeqCst) {
            receipts.pop();
        }
        Ok(receipts)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_history_holds_every_policy_event_in_order_and_goes_on_after_a_stop_on_sqlite() {
    let net = Net::settled().await;
    let folder = tempfile::tempdir().unwrap();
    let (_database, store) = store(&net, folder.path()).await;
    holds_every_policy_event(net, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_history_holds_every_policy_event_in_order_and_goes_on_after_a_stop_on_postgres() {
    let net = Net::settled().await;
    let postgres = Postgres::start().await;
    let database = Database::open(&postgres.url(), 4, PATIENCE, migrations())
        .await
        .unwrap();
    let store = ChainStore::new(database.pool().clone(), ChainId(31337), net.network.kms_authority);
    holds_every_policy_event(net, store).await;
}

async fn holds_every_policy_event(net: Net, store: ChainStore) {
    let bridge = net.bridge().await;
    let audit = bridge.audit(store.clone(), Some(0));
    let extra = ComposeHash::new([0xee; 32]);
    net.allow_compose(extra).await;
    net.mine(300).await;
    done(&audit, net.height().await - 2).await;
    audit.shutdown().await;
    net.revoke_compose(extra).await;
    net.mine(300).await;
    // Two nodes on one database: each piece is stored by one of them.
    let (audit, other) = (bridge.audit(store.clone(), Some(0)), net.bridge().await);
    let second = other.audit(store.clone(), Some(0));
    done(&audit, net.height().await - 2).await;
    done(&second, net.height().await - 2).await;
    let of_app = names(&store, Some(net.app)).await;
    let said: Vec<_> = of_app.iter().map(|event| event.event.as_str()).collect();
    for expected in ["AppRegistered", "ComposeHashAdded", "ComposeHashRemoved"] {
        assert!(said.contains(&expected), "{said:?}");
    }
    let hash = |event: &StoredEvent| event.fields.first().map(|field| field.value.clone());
    assert!(
        of_app
            .iter()
            .any(|event| hash(event) == Some(format!("0x{}", COMPOSE.to_plain_hex()))),
        "{of_app:?}"
    );
    assert_eq!(said.last(), Some(&"ComposeHashRemoved"));
    let all = names(&store, None).await;
    let place = |event: &StoredEvent| (event.block.number, event.log_index);
    assert!(
        all.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])),
        "{all:?}"
    );
    assert!(
        all.iter().any(|event| event.event == "AttestationRootAdded"),
        "the constructor's too"
    );
    assert_eq!(store.history().await.unwrap().unwrap().from, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_history_refuses_receipts_that_hide_a_log_and_names_the_endpoint() {
    let net = Net::settled().await;
    let folder = tempfile::tempdir().unwrap();
    let (_database, store) = store(&net, folder.path()).await;
    let config = net.config();
    let endpoint = Endpoint::new(&config, &config.endpoints[0]).unwrap();
    let liar = Arc::new(Hiding(endpoint.clone(), AtomicBool::new(true)));
    let bridge = Bridge::start_with(
        config,
        Arc::new(endpoint),
        Arc::clone(&liar) as _,
        net.floor.clone(),
        net.clock.clone(),
    )
    .await
    .unwrap();
    let audit = bridge.audit(store.clone(), Some(0));
    let status = wait(&audit, |status| status.degraded.is_some()).await;
    let why = status.degraded.unwrap();
    assert!(
        why.contains("http://liar") && why.contains("receipts of block"),
        "{why}"
    );
    assert_eq!(names(&store, None).await, [], "nothing unproven is stored");
    liar.1.store(false, Ordering::SeqCst);
    done(&audit, 3).await;
    assert!(
        wait(&audit, |status| status.degraded.is_none())
            .await
            .done
            .is_some()
    );
    assert!(!names(&store, None).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_history_on_a_full_database_waits_and_loses_nothing() {
    let net = Net::settled().await;
    let folder = tempfile::tempdir().unwrap();
    let (database, store) = store(&net, folder.path()).await;
    // The limit is one of a connection, and there are at most two.
    let limit = |pages: u32| {
        let pool = database.pool().clone();
        async move {
            let (mut one, mut two) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
            for connection in [&mut one, &mut two] {
                let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
                sqlx::query::<sqlx::Any>(sql)
                    .execute(&mut **connection)
                    .await
                    .unwrap();
            }
        }
    };
    limit(1).await;
    let bridge = net.bridge().await;
    net.mine(200).await;
    let audit = bridge.audit(store.clone(), Some(0));
    let status = wait(&audit, |status| status.degraded.is_some()).await;
    assert!(status.degraded.as_ref().unwrap().contains("full"), "{status:?}");
    bridge
        .decide(authority_bridge::Subject::App, &net.record())
        .await
        .unwrap();
    limit(1_000_000).await;
    done(&audit, net.height().await - 2).await;
    assert!(!names(&store, Some(net.app)).await.is_empty());
}

/// The whole history as an honest endpoint tells it, for comparison.
async fn honest_history(ring: &Ring, until: u64) -> Vec<StoredEvent> {
    let folder = tempfile::tempdir().unwrap();
    let (_database, store) = store(&ring.net, folder.path()).await;
    let bridge = ring.net.bridge().await;
    let audit = bridge.audit(store.clone(), Some(0));
    done(&audit, until).await;
    audit.shutdown().await;
    names(&store, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c3_history_is_the_same_whatever_one_of_three_says_of_logs_and_receipts() {
    let ring = Ring::new(3, 2).await;
    ring.net.allow_compose(ComposeHash::new([0xee; 32])).await;
    ring.net.mine(3).await;
    let until = ring.net.height().await - 2;
    let expected = honest_history(&ring, until).await;
    assert!(expected.len() > 5, "{expected:?}");
    for lie in [
        Lie::LogsHidden,
        Lie::LogsInvented,
        Lie::ReceiptsHidden,
        Lie::ReceiptsFailed,
        Lie::ReceiptsAltered,
        Lie::ReceiptsDoubled,
    ] {
        let what = lie.to_string();
        ring.lie(1, &lie);
        let folder = tempfile::tempdir().unwrap();
        let (_database, store) = store(&ring.net, folder.path()).await;
        let bridge = ring.start().await;
        let audit = bridge.audit(store.clone(), Some(0));
        done(&audit, until).await;
        audit.shutdown().await;
        assert_eq!(names(&store, None).await, expected, "{what}");
        ring.honest();
    }
}
