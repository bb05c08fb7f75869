//! What the node stores of the chain, on both databases: the floor only rises, and a database that went back is found out.

use crate::support::postgres::Postgres;
use authority_bridge::{
    ChainStore, HeightFloor,
    store::{FloorCopy, GuardedFloor},
};
use kms_node::store::Store;
use kms_types::{BlockHash, BlockRef, ChainAddress, ChainId};
use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tempfile::TempDir;

const CHAIN: ChainId = ChainId(31337);

pub async fn sqlite(folder: &Path) -> Store {
    let url = format!("sqlite:{}?mode=rwc", folder.join("kms.db").display());
    Store::open(&url, 4, Duration::from_secs(5)).await.unwrap()
}

pub fn chain_store(store: &Store, chain: ChainId) -> ChainStore {
    ChainStore::new(store.pool().clone(), chain, ChainAddress::new([0xaa; 20]))
}

fn block(number: u64) -> BlockRef {
    BlockRef {
        number,
        hash: BlockHash::new([number as u8; 32]),
    }
}

fn guarded(store: &Store, folder: &Path) -> GuardedFloor {
    let copy = FloorCopy::new(folder.join("chain-floor.json"), CHAIN);
    GuardedFloor::new(chain_store(store, CHAIN), copy)
}

async fn heights_only_rise(store: &Store) {
    let floors = chain_store(store, CHAIN);
    assert_eq!(floors.load().await.unwrap(), None);
    for number in [5, 9, 7] {
        floors.raise(block(number)).await.unwrap();
    }
    assert_eq!(floors.load().await.unwrap(), Some(block(9)));
    let other = chain_store(store, ChainId(1));
    assert_eq!(other.load().await.unwrap(), None, "per chain");
}

async fn set_back(store: &Store, to: BlockRef) {
    sqlx::query::<sqlx::Any>("UPDATE chain_floor SET number = $1, hash = $2 WHERE chain_id = 31337")
        .bind(to.number as i64)
        .bind(to.hash.to_plain_hex())
        .execute(store.pool())
        .await
        .unwrap();
}

async fn roll_back_is_refused(store: &Store) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("chain-floor.json");
    let floor = guarded(store, folder.path());
    assert_eq!(
        floor.load().await.unwrap(),
        Some(block(9)),
        "a first copy is made"
    );
    floor.raise(block(12)).await.unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );

    set_back(store, block(11)).await;
    let error = guarded(store, folder.path())
        .load()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("older than block 12") && error.contains("floor accept"),
        "{error}"
    );
    set_back(
        store,
        BlockRef {
            number: 12,
            ..block(1)
        },
    )
    .await;
    let error = guarded(store, folder.path())
        .load()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("older than block 12"),
        "another hash at the height: {error}"
    );

    set_back(store, block(11)).await;
    assert_eq!(
        guarded(store, folder.path()).accept(None).await.unwrap(),
        block(11)
    );
    assert_eq!(
        guarded(store, folder.path()).load().await.unwrap(),
        Some(block(11))
    );
    // A person may name a later block, and no other.
    let error = guarded(store, folder.path())
        .accept(Some(block(11)))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("expected a block after"), "{error}");
    assert_eq!(
        guarded(store, folder.path())
            .accept(Some(block(40)))
            .await
            .unwrap(),
        block(40)
    );
    assert_eq!(
        guarded(store, folder.path()).load().await.unwrap(),
        Some(block(40))
    );

    std::fs::write(&path, "{}").unwrap();
    let error = guarded(store, folder.path())
        .load()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("chain-floor.json"), "{error}");
}

#[tokio::test]
async fn c5_floor_rises_and_a_roll_back_is_refused_on_sqlite() {
    let folder = TempDir::new().unwrap();
    let store = sqlite(folder.path()).await;
    heights_only_rise(&store).await;
    roll_back_is_refused(&store).await;
}

#[tokio::test]
async fn c5_floor_rises_and_a_roll_back_is_refused_on_postgres() {
    let postgres = Postgres::start().await;
    let store = Store::open(&postgres.url(), 4, Duration::from_secs(5))
        .await
        .unwrap();
    heights_only_rise(&store).await;
    roll_back_is_refused(&store).await;
}

#[tokio::test]
async fn c5_floor_without_its_copy_is_raised_and_says_so() {
    let folder = TempDir::new().unwrap();
    let store = sqlite(folder.path()).await;
    let copy = FloorCopy::new(folder.path().join("no-such-folder/chain-floor.json"), CHAIN);
    let floor = GuardedFloor::new(chain_store(&store, CHAIN), copy);
    floor.raise(block(3)).await.unwrap();
    let why = floor.degraded().unwrap();
    assert!(why.contains("no-such-folder"), "{why}");
    assert_eq!(floor.load().await.unwrap(), Some(block(3)));
}
