//! Bringing a project up again: after the agent was gone, after containerd was gone, after the file changed, after a start was
//! cut short.

use std::process::Command;
use std::time::Duration;

use compose_file::Project;
use container_runtime::{ContainerState, Running};

use crate::lab::{Scene, exited, one, project, service, until};

fn pids(running: &Running) -> Vec<(String, u32)> {
    running
        .containers()
        .into_iter()
        .filter_map(|one| Some((one.service, one.pid?)))
        .collect()
}

fn two() -> Project {
    project([("one", service("sleep 1000")), ("two", service("sleep 1000"))])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_unchanged_is_kept_what_changed_is_made_anew_and_orphans_go() {
    let scene = Scene::new().await;
    let running = scene.up(&two()).await.unwrap();
    let before = pids(&running);
    assert_eq!(before.len(), 2);
    drop(running);
    let running = scene.up(&two()).await.unwrap();
    assert_eq!(pids(&running), before);
    drop(running);
    let mut changed = service("sleep 1000");
    changed.environment.insert("NEW".to_owned(), Some("1".to_owned()));
    let running = scene
        .up(&project([("one", service("sleep 1000")), ("two", changed)]))
        .await
        .unwrap();
    let after = pids(&running);
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    drop(running);
    let running = scene
        .up(&project([("one", service("sleep 1000"))]))
        .await
        .unwrap();
    assert_eq!(pids(&running), before[..1]);
    assert!(!std::path::Path::new(&format!("/proc/{}", after[1].1)).exists());
    // A container that ends while it is adopted is noticed.
    let killed = Command::new("kill")
        .args(["-9", &before[0].1.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(exited(&running, "one").await.exit_code, Some(137));
    drop(running);
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_containerd_and_are_still_supervised() {
    let mut scene = Scene::new().await;
    let running = scene.up(&two()).await.unwrap();
    let before = pids(&running);
    scene.kill_containerd();
    let killed = Command::new("kill")
        .args(["-9", &before[1].1.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    scene.start_containerd();
    until(&running, "the exit is noticed", |all| {
        one(all, "two").state == ContainerState::Exited
    })
    .await;
    assert_eq!(pids(&running), before[..1]);
    drop(running);
    let running = scene.up(&two()).await.unwrap();
    assert_eq!(pids(&running), before[..1]);
    let stopped = running.stop(Some(Duration::from_millis(100))).await.unwrap();
    assert!(stopped.iter().all(|one| one.state == ContainerState::Stopped));
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_whose_plugin_was_killed_is_made_anew() {
    let scene = Scene::new().await;
    let running = scene.up(&two()).await.unwrap();
    running.stop(Some(Duration::from_millis(100))).await.unwrap();
    let state = std::fs::read_dir(scene.config.data.join("networks"))
        .unwrap()
        .next()
        .unwrap();
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(state.unwrap().path()).unwrap()).unwrap();
    let bridge = state["bridge"].as_str().unwrap();
    let ip = |words: &str| {
        assert!(
            Command::new("ip")
                .args(words.split(' '))
                .status()
                .unwrap()
                .success(),
            "{words}"
        )
    };
    let veth = bridge.replace("kdg", "v");
    // What it leaves behind: a bridge that had its interface's address, and lost it with the interface.
    ip(&format!("link del {bridge}"));
    ip(&format!("link add {bridge} type bridge"));
    ip(&format!("link add {veth} type veth peer name {veth}p"));
    ip(&format!("link set {veth} master {bridge}"));
    ip(&format!("link del {veth}"));
    let address = std::fs::read_to_string(format!("/sys/class/net/{bridge}/address")).unwrap();
    assert_eq!(address.trim(), "00:00:00:00:00:00");
    let running = scene.up(&two()).await.unwrap();
    assert_eq!(pids(&running).len(), 2);
    running.stop(Some(Duration::from_millis(100))).await.unwrap();
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_cut_short_anywhere_is_cleared_and_done_again() {
    let scene = Scene::new().await;
    let socket = scene.folder.path().join("containerd.sock");
    let ctr = |args: &[&str]| {
        let output = Command::new("ctr")
            .arg("-a")
            .arg(&socket)
            .args(["-n", &scene.config.namespace])
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    // Cut the start at many points in time: the future is dropped, as a killed agent's would be.
    for cut in [5_u64, 20, 40, 60, 80, 100, 130, 160, 200, 250] {
        let runtime = scene.runtime().await;
        let all = two();
        let environment = Default::default();
        let up = runtime.up(&all, scene.folder.path(), &environment, &|_| {});
        let _ = tokio::time::timeout(Duration::from_millis(cut), up).await;
        let running = scene.up(&all).await.unwrap();
        assert_eq!(
            pids(&running).len(),
            2,
            "after {cut} ms: {:#?}",
            running.containers()
        );
        drop(running);
        runtime.down(true).await.unwrap();
    }
    // A record without a task, and one whose snapshot is gone.
    let running = scene.up(&two()).await.unwrap();
    drop(running);
    ctr(&["tasks", "rm", "-f", "lab-one-1"]);
    ctr(&["tasks", "rm", "-f", "lab-two-1"]);
    ctr(&["snapshots", "rm", "lab-two-1"]);
    let running = scene.up(&two()).await.unwrap();
    assert_eq!(pids(&running).len(), 2);
    running.stop(Some(Duration::from_millis(100))).await.unwrap();
    scene.down().await;
}
