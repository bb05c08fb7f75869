//! Logs: they rotate, can be followed, and do not need the supervisor.

use std::time::Duration;

use compose_file::Logging;
use container_runtime::logs::LogQuery;

use crate::lab::{LIMIT, Scene, exited, lines, project, service};

#[tokio::test(flavor = "multi_thread")]
async fn logs_rotate_and_keep_their_bounds() {
    let scene = Scene::new().await;
    let mut loud = service("i=0; while [ $i -lt 2000 ]; do echo \"line $i\"; i=$((i+1)); done");
    loud.logging = Logging {
        max_size: Some("8k".parse().unwrap()),
        max_file: Some(3),
    };
    let running = scene.up(&project([("loud", loud)])).await.unwrap();
    exited(&running, "loud").await;
    let mut last = Vec::new();
    let deadline = std::time::Instant::now() + LIMIT;
    while last.last().is_none_or(|line| line != "line 1999") {
        assert!(std::time::Instant::now() < deadline, "{:?}", last.last());
        last = lines(&running, "loud").await;
    }
    assert!(last.len() > 200 && last.len() < 2000, "{}", last.len());
    let first: usize = last[0].strip_prefix("line ").unwrap().parse().unwrap();
    let expected: Vec<String> = (first..2000).map(|n| format!("line {n}")).collect();
    assert_eq!(last, expected);
    let folder = scene.config.data.join("logs/lab-loud-1");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("log") {
            files += 1;
            assert!(entry.metadata().unwrap().len() <= 8 * 1024);
        }
    }
    assert_eq!(files, 3);
    drop(running);
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_written_without_a_supervisor_are_there_and_new_ones_follow() {
    let scene = Scene::new().await;
    let counting = project([(
        "count",
        service("i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"),
    )]);
    let running = scene.up(&counting).await.unwrap();
    drop(running);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let running = scene.up(&counting).await.unwrap();
    let mut receiver = running.logs(LogQuery {
        follow: true,
        ..LogQuery::default()
    });
    for expected in 0..100 {
        let entry = tokio::time::timeout(LIMIT, receiver.recv())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(entry.line.text, expected.to_string());
    }
    drop(receiver);
    running.stop(Some(Duration::from_millis(100))).await.unwrap();
    scene.down().await;
}
