//! One container: it runs, it ends, its output is there.

use container_runtime::ContainerState;

use crate::lab::{Scene, exited, lines, project, service};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_and_its_exit_code_and_output_are_kept() {
    let scene = Scene::new().await;
    let running = scene
        .up(&project([("hello", service("echo out; echo err >&2; exit 7"))]))
        .await
        .unwrap();
    let status = exited(&running, "hello").await;
    assert_eq!(
        (status.exit_code, status.out_of_memory, status.state),
        (Some(7), false, ContainerState::Exited)
    );
    let mut lines = lines(&running, "hello").await;
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    drop(running);
    scene.down().await;
}
