//! The release log on both databases.

use crate::support::postgres::Postgres;
use ct_merkle::{ConsistencyProof as CtConsistency, InclusionProof as CtInclusion, RootHash};
use kms_node::{
    log::{LogError, LogReader, ReleaseLog, TreeSigner},
    store::{FloorStore, Store},
};
use kms_types::{
    AppId, BlockHash, BlockRef, ComposeHash, DeviceId, Fmspc, InstanceId, KeyEpoch, OsImageHash, UnixTime,
};
use kms_wire::{
    DiskGeneration, DiskMark, EpochIdentity, InclusionProof, LogEntry, LogPosition, ReleaseKind,
    SignedTreeHead,
};
use sha2::{Digest, Sha256};
use sha2_011::Sha256 as NextSha256;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tempfile::TempDir;

/// Signs with a hash: what is signed is tested here, the key elsewhere.
pub struct HashSigner;

impl TreeSigner for HashSigner {
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        let digest = Sha256::digest(bytes);
        [digest, digest].concat().try_into().unwrap()
    }
    fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.sign(bytes) == signature
    }
    fn now(&self) -> UnixTime {
        UnixTime(1_800_000_000)
    }
}

pub fn entry(number: u64) -> LogEntry {
    LogEntry {
        kind: ReleaseKind::AppKeys,
        app_id: AppId::new([(number % 3) as u8; 20]),
        instance_id: InstanceId::new([1; 20]),
        compose_hash: ComposeHash::new([2; 32]),
        os_image_hash: OsImageHash::new([3; 32]),
        device_id: DeviceId::new([4; 32]),
        key_epoch: KeyEpoch(1),
        block: BlockRef {
            number,
            hash: BlockHash::new([5; 32]),
        },
        time: UnixTime(number),
        disk_generation: None,
    }
}

/// Checks with another implementation of RFC 6962.
pub fn check_inclusion(entry: &LogEntry, proof: &InclusionProof, head: &SignedTreeHead) {
    let path: Vec<u8> = proof
        .path
        .iter()
        .flat_map(|hash| hash.as_bytes().to_vec())
        .collect();
    let proof_bytes = CtInclusion::<NextSha256>::try_from_bytes(path).unwrap();
    root(head)
        .verify_inclusion(&entry.leaf_bytes(), proof.index, &proof_bytes)
        .unwrap();
}

fn root(head: &SignedTreeHead) -> RootHash<NextSha256> {
    let digest: [u8; 32] = head.root.as_bytes().try_into().unwrap();
    RootHash::new(digest.into(), head.size)
}

pub fn check_signature(head: &SignedTreeHead, identity: &EpochIdentity) {
    let bytes = SignedTreeHead::signed_bytes(head.size, head.root.as_bytes().try_into().unwrap(), head.time);
    let signature: &[u8; 64] = head.signature.as_bytes().try_into().unwrap();
    kms_keys::verify_log(
        identity.log_public_key.as_bytes().try_into().unwrap(),
        &bytes,
        signature,
    )
    .unwrap();
}

pub async fn sqlite(folder: &TempDir) -> Store {
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("log.db").display());
    Store::open(&url, 4, Duration::from_secs(3)).await.unwrap()
}

async fn append_many(log: &ReleaseLog, count: u64) -> Vec<(LogEntry, u64, SignedTreeHead)> {
    let appends = (0..count).map(|number| {
        let log = log.clone();
        tokio::spawn(async move { log.append(entry(number)).await.unwrap() })
    });
    let mut done = Vec::new();
    for append in appends.collect::<Vec<_>>() {
        let position = append.await.unwrap();
        done.push((position.entry, position.index, position.tree_head));
    }
    done
}

async fn log_holds(store: Store) {
    let (log, writer) = ReleaseLog::start(store.clone(), Arc::new(HashSigner))
        .await
        .unwrap();
    let reader = LogReader::new(&store);
    assert_eq!(reader.head().await.unwrap(), None);
    let done = append_many(&log, 100).await;
    let mut indices: Vec<u64> = done.iter().map(|(_, index, _)| *index).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..100).collect::<Vec<_>>(), "every index once");
    for (entry, index, head) in &done {
        let proof = reader.inclusion(*index, head.size).await.unwrap().unwrap();
        check_inclusion(entry, &proof, head);
        let signed =
            SignedTreeHead::signed_bytes(head.size, head.root.as_bytes().try_into().unwrap(), head.time);
        assert_eq!(head.signature.as_bytes(), HashSigner.sign(&signed));
    }
    drop(log);
    writer.await.unwrap();

    let (log, _writer) = ReleaseLog::start(store.clone(), Arc::new(HashSigner))
        .await
        .unwrap();
    let newest = log.append(entry(100)).await.unwrap();
    assert_eq!(newest.index, 100, "it goes on after a restart");
    for (_, _, older) in &done {
        let proof = reader.consistency(older.size, 101).await.unwrap().unwrap();
        let path: Vec<u8> = proof
            .path
            .iter()
            .flat_map(|hash| hash.as_bytes().to_vec())
            .collect();
        let proof = CtConsistency::<NextSha256>::try_from_bytes(path).unwrap();
        root(&newest.tree_head)
            .verify_consistency(&root(older), &proof)
            .unwrap();
    }
    assert!(reader.inclusion(101, 101).await.unwrap().is_none());
    assert!(reader.inclusion(0, 102).await.unwrap().is_none());
    assert!(reader.consistency(0, 101).await.unwrap().is_none());

    let app = AppId::new([1; 20]);
    let page = reader.entries(0, 10, Some(app)).await.unwrap();
    assert_eq!(page.entries.len(), 10);
    assert!(page.entries.iter().all(|held| held.entry.app_id == app));
    let rest = reader.entries(page.next.unwrap(), 256, Some(app)).await.unwrap();
    assert_eq!(
        (rest.entries.len(), rest.next),
        (
            done.iter().filter(|(e, ..)| e.app_id == app).count() + usize::from(entry(100).app_id == app)
                - 10,
            None
        )
    );
}

async fn floors_only_rise(store: Store) {
    let floors = FloorStore::new(store);
    let fmspc = Fmspc::new([1; 6]);
    for number in [17, 20, 18] {
        floors.raise_collateral(&fmspc, number).await.unwrap();
    }
    assert_eq!(floors.collateral(&fmspc).await.unwrap(), 20);
    assert_eq!(floors.collateral(&Fmspc::new([2; 6])).await.unwrap(), 0);
}

/// An entry that reports a disk, or asks what is known of one.
fn of_disk(kind: ReleaseKind, instance: u8, reported: Option<DiskGeneration>) -> LogEntry {
    LogEntry {
        kind,
        instance_id: InstanceId::new([instance; 20]),
        disk_generation: reported,
        ..entry(0)
    }
}

fn generation(number: u64, mark: u8) -> DiskGeneration {
    DiskGeneration {
        number,
        mark: DiskMark::new([mark; 16]),
    }
}

async fn lease_of(log: &ReleaseLog, instance: u8, reported: DiskGeneration) -> Result<LogPosition, LogError> {
    log.append(of_disk(ReleaseKind::Lease, instance, Some(reported)))
        .await
}

async fn known_to(log: &ReleaseLog, instance: u8) -> Option<DiskGeneration> {
    let told = log
        .append(of_disk(ReleaseKind::AppKeys, instance, None))
        .await
        .unwrap();
    told.entry.disk_generation
}

/// What was reported is known from the next release on, to every node and after every restart, and never goes down.
async fn generations_hold(open: impl AsyncFn() -> Store) {
    let start = async || {
        ReleaseLog::start(open().await, Arc::new(HashSigner))
            .await
            .unwrap()
    };
    let ((log, writer), (other, _other)) = (start().await, start().await);
    assert_eq!(known_to(&log, 1).await, None);
    let seven = generation(7, 1);
    assert_eq!(
        lease_of(&log, 1, seven).await.unwrap().entry.disk_generation,
        Some(seven)
    );
    assert_eq!(
        (known_to(&log, 1).await, known_to(&other, 1).await),
        (Some(seven), Some(seven))
    );
    assert_eq!(known_to(&log, 2).await, None, "of another instance");
    // The answer to the first try was lost: the same again is the same disk. Another copy with that number is not.
    lease_of(&other, 1, seven).await.unwrap();
    let copy = lease_of(&log, 1, generation(7, 2)).await.unwrap_err();
    assert!(matches!(copy, LogError::SetBack { .. }), "{copy:?}");
    let nine = generation(9, 3);
    lease_of(&other, 1, nine).await.unwrap();
    let reader = LogReader::new(&open().await);
    let before = reader.head().await.unwrap().unwrap().size;
    let eight = generation(8, 1);
    let refused = lease_of(&log, 1, eight).await.unwrap_err();
    assert!(
        matches!(refused, LogError::SetBack { expected, actual } if expected == nine && actual == eight),
        "{refused:?}"
    );
    // A lease that reports nothing changes nothing.
    let silent = log.append(of_disk(ReleaseKind::Lease, 1, None)).await.unwrap();
    assert_eq!(silent.entry.disk_generation, None);
    let after = reader.head().await.unwrap().unwrap().size;
    assert_eq!(after, before + 1, "a refused lease is in no log");
    // Refused beside others: they go on, each with its own index.
    let mixed = (0..40_u64).map(|number| {
        let (log, instance) = (other.clone(), 10 + u8::try_from(number % 4).unwrap());
        let reported = generation(1 + number * 37 % 40, u8::try_from(number).unwrap() + 1);
        tokio::spawn(async move { lease_of(&log, instance, reported).await })
    });
    for append in mixed.collect::<Vec<_>>() {
        let _ = append.await.unwrap();
    }
    for instance in 10..14 {
        let known = known_to(&log, instance).await.unwrap();
        lease_of(&log, instance, known).await.unwrap();
        let older = DiskGeneration {
            number: known.number - 1,
            ..known
        };
        lease_of(&log, instance, older).await.unwrap_err();
    }
    drop(log);
    writer.await.unwrap();
    let (log, _writer) = start().await;
    assert_eq!(known_to(&log, 1).await, Some(nine), "after a restart");
    lease_of(&log, 1, eight).await.unwrap_err();
    // What an owner reads: every number in the leaf that was hashed, and releases that never tell less than was reported before.
    let mut highest: BTreeMap<InstanceId, DiskGeneration> = BTreeMap::new();
    let entries = reader.entries(0, 256, None).await.unwrap().entries;
    for entry in entries.into_iter().map(|held| held.entry) {
        let known = highest.get(&entry.instance_id).copied();
        match (entry.kind, entry.disk_generation) {
            (ReleaseKind::AppKeys, told) => assert_eq!(told, known),
            (_, Some(reported)) => {
                assert!(known.is_none_or(|known| reported == known || reported.number > known.number));
                highest.insert(entry.instance_id, reported);
            }
            (_, None) => {}
        }
    }
    assert_eq!(highest.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_an_older_disk_than_was_reported_is_refused_on_sqlite() {
    let folder = TempDir::new().unwrap();
    generations_hold(async || sqlite(&folder).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_an_older_disk_than_was_reported_is_refused_on_postgres() {
    let postgres = Postgres::start().await;
    let url = postgres.url();
    generations_hold(async || Store::open(&url, 4, Duration::from_secs(5)).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k7_log_on_sqlite() {
    let folder = TempDir::new().unwrap();
    log_holds(sqlite(&folder).await).await;
}

#[tokio::test]
async fn c5_floors_only_rise_on_sqlite() {
    let folder = TempDir::new().unwrap();
    floors_only_rise(sqlite(&folder).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k7_log_and_floors_on_postgres_with_two_nodes() {
    let postgres = Postgres::start().await;
    let url = postgres.url();
    let open = || Store::open(&url, 4, Duration::from_secs(5));
    log_holds(open().await.unwrap()).await;
    floors_only_rise(open().await.unwrap()).await;
    let (one, _one) = ReleaseLog::start(open().await.unwrap(), Arc::new(HashSigner))
        .await
        .unwrap();
    let (two, _two) = ReleaseLog::start(open().await.unwrap(), Arc::new(HashSigner))
        .await
        .unwrap();
    let (a, b) = tokio::join!(append_many(&one, 60), append_many(&two, 60));
    let mut indices: Vec<u64> = a.iter().chain(&b).map(|(_, index, _)| *index).collect();
    indices.sort_unstable();
    assert_eq!(indices, (101..221).collect::<Vec<_>>(), "two nodes share one log");
    let reader = LogReader::new(&open().await.unwrap());
    for (entry, index, head) in a.iter().chain(&b) {
        let proof = reader.inclusion(*index, head.size).await.unwrap().unwrap();
        check_inclusion(entry, &proof, head);
    }
}

#[tokio::test]
async fn a_log_that_was_tampered_with_takes_nothing() {
    let folder = TempDir::new().unwrap();
    let store = sqlite(&folder).await;
    let (log, writer) = ReleaseLog::start(store.clone(), Arc::new(HashSigner))
        .await
        .unwrap();
    append_many(&log, 3).await;
    drop(log);
    writer.await.unwrap();
    let other = hex::encode(entry(77).leaf_bytes());
    sqlx::query::<sqlx::Any>("UPDATE log_entries SET leaf = $1 WHERE position = 2")
        .bind(other)
        .execute(store.pool())
        .await
        .unwrap();
    let error = ReleaseLog::start(store, Arc::new(HashSigner))
        .await
        .err()
        .unwrap();
    assert!(matches!(error, kms_node::log::LogError::Store(_)), "{error:?}");
}

#[tokio::test]
async fn k7_head_that_was_not_signed_here_is_refused() {
    let changes = [
        "UPDATE log_head SET signed_at = signed_at + 1",
        "UPDATE log_head SET size = 0, root = '', signature = ''",
    ];
    for change in changes {
        let folder = TempDir::new().unwrap();
        let store = sqlite(&folder).await;
        let (log, writer) = ReleaseLog::start(store.clone(), Arc::new(HashSigner))
            .await
            .unwrap();
        append_many(&log, 3).await;
        sqlx::query::<sqlx::Any>(change)
            .execute(store.pool())
            .await
            .unwrap();
        assert!(log.append(entry(3)).await.is_err(), "{change}");
        drop(log);
        writer.await.unwrap();
        assert!(
            ReleaseLog::start(store, Arc::new(HashSigner)).await.is_err(),
            "{change}"
        );
    }
}
