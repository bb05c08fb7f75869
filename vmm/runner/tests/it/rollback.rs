//! An app that has set-backs of its disk detected, from the measured document to the refusal: a disk the host copied before a lease was
//! renewed, and an empty one, are refused at the next boot with both numbers; the newest opens.

use crate::measured::{Scene, disk};
use anvil_tests::NodeOptions;
use kms_types::AppId;
use kms_wire::{LogEntries, ReleaseKind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};
use vm_runner::Ended;

const DEADLINE: Duration = Duration::from_secs(240);

/// The app of the other boots, with the requirement.
fn compose(scene: &Scene) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(&scene.compose("counted")).unwrap();
    document["manifest_version"] = json!("3");
    document["requirements"] = json!({ "rollback": "detect" });
    serde_json::to_vec(&document).unwrap()
}

/// Generation of a disk by its newer marker, as the host can read it (docs/disk.md): sequence at 16, generation at 25.
fn generation(disk: &Path) -> u64 {
    let file = File::open(disk).unwrap();
    let number = |at| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_be_bytes(bytes)
    };
    let newest = [0, 4096].into_iter().max_by_key(|at| number(at + 16)).unwrap();
    number(newest + 25)
}

/// Of markers, header and the beginning of the data, where opening a disk writes first.
fn digest(disk: &Path) -> [u8; 32] {
    let mut hash = Sha256::new();
    std::io::copy(&mut File::open(disk).unwrap().take(40 << 20), &mut hash).unwrap();
    hash.finalize().into()
}

/// The highest generation the KMS has in its log for this app.
async fn reported(scene: &Scene, app: AppId) -> u64 {
    let node = scene.network.node().unwrap();
    let url = format!("{}/v1/log/entries?app_id={app}", node.url());
    let answer = node.client().unwrap().get(url).send().await.unwrap();
    let log: LogEntries = answer.json().await.unwrap();
    let leases = log
        .entries
        .iter()
        .filter(|held| held.entry.kind == ReleaseKind::Lease);
    leases
        .filter_map(|held| Some(held.entry.disk_generation?.number))
        .max()
        .unwrap_or(0)
}

/// Starts the app on a disk that must not be opened; gives the two numbers it was refused with.
async fn refused(scene: &Scene, app: AppId, compose: &[u8], disk: &Path) -> (u64, u64) {
    let before = digest(disk);
    let (ended, said) = scene.boot(app, compose, disk).await.ended().await;
    assert_eq!(ended, Ended::PoweredOff, "{said}");
    assert!(said.contains("kms-node generation set"), "{said}");
    assert_eq!(digest(disk), before, "a refused disk was written to");
    let words = said.split_once("the disk was set back: expected generation ");
    let (_, words) = words.unwrap_or_else(|| panic!("{said}"));
    let (expected, actual) = words.split_once(" or a higher one, got ").unwrap();
    let number = |words: &str| words.split_once(' ').unwrap().0.parse().unwrap();
    (number(expected), number(actual))
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_disk_copied_before_a_lease_is_refused_at_the_next_boot() {
    // The shortest lease there is: renewed every fifteen seconds.
    let scene = Scene::with(NodeOptions::default().set("keys", "lease_s", 30)).await;
    let compose = compose(&scene);
    let app = scene.network.create_app_for(&compose).await.unwrap();
    let newest = disk(scene.folder.path(), "newest.disk");
    let copied = scene.folder.path().join("copied.disk");

    let mut boot = scene.boot(app, &compose, &newest).await;
    assert_eq!(boot.page().await, "started\n");
    assert!(
        reported(&scene, app).await > 0,
        "the app ran before its disk was reported"
    );
    fs::copy(&newest, &copied).unwrap();
    let old = generation(&copied);
    let end = Instant::now() + DEADLINE;
    let known = loop {
        let known = reported(&scene, app).await;
        if known > old {
            break known;
        }
        assert!(Instant::now() < end, "no lease after generation {old}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    boot.vm.kill().await.unwrap();
    drop(boot);

    let (expected, actual) = refused(&scene, app, &compose, &copied).await;
    assert!(
        expected >= known && actual == old,
        "{expected} {actual}, {known} {old}"
    );
    println!("copied at generation {old}, put back when {expected} was known: refused");
    fs::remove_file(&copied).unwrap();
    let empty = disk(scene.folder.path(), "empty.disk");
    assert_eq!(refused(&scene, app, &compose, &empty).await, (expected, 0));

    let boot = scene.boot(app, &compose, &newest).await;
    assert_eq!(boot.page().await, "started\nstarted\n");
    drop(boot);
    assert!(reported(&scene, app).await > expected);
}
