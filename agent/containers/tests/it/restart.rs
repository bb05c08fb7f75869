//! Containers that end: how often they are started again, and how they are stopped.

use std::time::{Duration, Instant};

use compose_file::{RestartPolicy, RestartWhen};
use container_runtime::ContainerState;

use crate::lab::{Scene, exited, lines, one, project, service, until};

fn policy(when: RestartWhen, max_attempts: Option<u32>) -> RestartPolicy {
    RestartPolicy {
        when,
        max_attempts,
        delay: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_are_counted_and_bounded_and_keep_the_containers_files() {
    let scene = Scene::new().await;
    let mut bounded = service("echo x >> /tmp/runs; wc -l < /tmp/runs; exit 3");
    bounded.restart = policy(RestartWhen::OnFailure, Some(2));
    let mut content = service("exit 0");
    content.restart = policy(RestartWhen::OnFailure, None);
    let mut always = service("echo again");
    always.restart = policy(RestartWhen::Always, None);
    let services = [("always", always), ("bounded", bounded), ("content", content)];
    let running = scene.up(&project(services)).await.unwrap();
    let status = exited(&running, "bounded").await;
    assert_eq!((status.restarts, status.exit_code), (2, Some(3)));
    assert_eq!(lines(&running, "bounded").await, ["1", "2", "3"]);
    assert_eq!(exited(&running, "content").await.restarts, 0);
    until(&running, "three restarts", |all| one(all, "always").restarts >= 3).await;
    let stopped = running.stop(None).await.unwrap();
    assert!(
        stopped.iter().all(|one| one.state == ContainerState::Stopped),
        "{stopped:#?}"
    );
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_asked_to_stop_before_it_is_killed() {
    let scene = Scene::new().await;
    let mut polite = service("trap 'echo bye; exit 5' USR1; echo ready; while :; do sleep 0.05; done");
    polite.stop_signal = Some("USR1".parse().unwrap());
    let mut deaf = service("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    deaf.stop_grace_period = Duration::from_millis(300);
    let running = scene
        .up(&project([("deaf", deaf), ("polite", polite)]))
        .await
        .unwrap();
    for service in ["deaf", "polite"] {
        let deadline = Instant::now() + crate::lab::LIMIT;
        while lines(&running, service).await.is_empty() {
            assert!(Instant::now() < deadline, "{service} is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let stopped = running.stop(None).await.unwrap();
    assert_eq!(one(&stopped, "polite").exit_code, Some(5));
    assert_eq!(one(&stopped, "deaf").exit_code, Some(137));
    scene.down().await;
}
