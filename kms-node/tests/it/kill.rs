//! `kill -9` while releases are logged: what was acknowledged is there afterwards, and the log goes on.

use crate::log::{HashSigner, check_inclusion, entry, sqlite};
use kms_node::log::{LogReader, ReleaseLog};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Arc,
};
use tempfile::TempDir;

const FOLDER: &str = "KEDGE_TEST_KILL_FOLDER";

/// The child: appends for ever and prints every acknowledged index. Does nothing when run as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_appends_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let url = format!(
        "sqlite:{}?mode=rwc",
        std::path::Path::new(&folder).join("log.db").display()
    );
    let store = kms_node::store::Store::open(&url, 4, std::time::Duration::from_secs(3))
        .await
        .unwrap();
    let (log, _writer) = ReleaseLog::start(store, Arc::new(HashSigner)).await.unwrap();
    let tasks: Vec<_> = (0..16_u64)
        .map(|lane| {
            let log = log.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let position = log.append(entry(lane * 1_000_000 + number)).await.unwrap();
                    println!("ack {} {}", position.index, position.entry.block.number);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn k7_no_acknowledged_release_is_lost_by_kill_9() {
    let folder = TempDir::new().unwrap();
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child_appends_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = Vec::new();
        for line in lines {
            let line = line.unwrap();
            if let Some((index, number)) = line.strip_prefix("ack ").and_then(|ack| ack.split_once(' ')) {
                acknowledged.push((index.parse::<u64>().unwrap(), number.parse::<u64>().unwrap()));
            }
            if acknowledged.len() == 150 + 37 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= 150, "round {round}: the child got to work");
        let store = sqlite(&folder).await;
        let (log, writer) = ReleaseLog::start(store.clone(), Arc::new(HashSigner))
            .await
            .unwrap();
        let reader = LogReader::new(&store);
        let head = reader.head().await.unwrap().unwrap();
        for (index, number) in acknowledged {
            let page = reader.entries(index, 1, None).await.unwrap();
            assert_eq!(
                (page.entries[0].index, page.entries[0].entry.block.number),
                (index, number)
            );
            let proof = reader.inclusion(index, head.size).await.unwrap().unwrap();
            check_inclusion(&page.entries[0].entry, &proof, &head);
        }
        assert_eq!(
            log.append(entry(7)).await.unwrap().index,
            head.size,
            "the log goes on"
        );
        drop(log);
        writer.await.unwrap();
        store.close().await;
    }
}
