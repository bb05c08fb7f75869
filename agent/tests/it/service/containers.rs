//! The agent over a real containerd.

use super::scene::{Prepared, is_alive};
use container_lab::{Containerd, Image, Options};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

const IMAGE: &str = "lab.internal/app:1";

/// Where a test's containers live: a containerd of its own.
struct Lab {
    containerd: Containerd,
    namespace: String,
    folder: tempfile::TempDir,
}

impl Lab {
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("kedge-lab-").tempdir().unwrap();
        let containerd = Containerd::start(&folder.path().join("c"), Options::default())
            .await
            .unwrap();
        let namespace = folder
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_lowercase();
        let image = Image::busybox()
            .unwrap()
            .build(&folder.path().join("image"))
            .unwrap();
        image.import(&containerd, &namespace, IMAGE).await.unwrap();
        Self {
            containerd,
            namespace,
            folder,
        }
    }

    fn guest(&self, compose: &Value, env: &[(&str, &str)]) -> Prepared {
        let resolv = self.folder.path().join("resolv.conf");
        std::fs::write(&resolv, "").unwrap();
        Prepared::new(compose, env)
            .set("CONTAINERS__CONTAINERD", self.containerd.socket().display())
            .set("CONTAINERS__NAMESPACE", &self.namespace)
            .set("CONTAINERS__RESOLV_CONF", resolv.display())
            .set("CONTAINERS__SUBNET_BASE", "10.199.0.0")
            .set("CONTAINERS__SUBNET_PREFIX", 16)
            .set("CONTAINERS__STOP_GRACE_S", 2)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A failed test leaves containers, whose shims outlive containerd.
        let (socket, namespace) = (self.containerd.socket(), self.namespace.clone());
        let ctr = |args: &[&str]| {
            let output = std::process::Command::new("ctr")
                .arg("-a")
                .arg(&socket)
                .args(["-n", &namespace])
                .args(args)
                .output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        for id in ctr(&["containers", "ls", "-q"]).unwrap_or_default().lines() {
            let _ = ctr(&["tasks", "rm", "-f", id]);
            let _ = ctr(&["containers", "rm", id]);
        }
    }
}

/// `services` of a compose file that names one image by tag.
fn compose(services: &str) -> Value {
    json!({"manifest_version": 2, "name": "demo", "runner": "docker-compose", "docker_compose_file": services,
        "allow_mutable_images": true, "allowed_envs": ["GREETING"]})
}

fn sleepers(count: usize) -> String {
    let mut text = "services:\n".to_owned();
    for n in 1..=count {
        text.push_str(&format!(
            "  s{n}:\n    image: {IMAGE}\n    command: [\"/bin/sh\", \"-c\", \"echo up; exec sleep 100000\"]\n    restart: always\n    stop_grace_period: 1s\n"
        ));
    }
    text
}

fn pids(containers: &[Value]) -> Vec<(String, u64)> {
    let mut all: Vec<_> = containers
        .iter()
        .map(|one| {
            (
                one["service"].as_str().unwrap().to_owned(),
                one["pid"].as_u64().unwrap_or_default(),
            )
        })
        .collect();
    all.sort();
    all
}

async fn stop(agent: super::scene::Program) {
    let (status, text) = agent.post("/v1/stop").await;
    assert_eq!(status, 200, "{text}");
    agent.terminate().await;
}

#[tokio::test]
async fn g6_an_image_that_may_change_is_refused_unless_the_measured_document_allows_it() {
    let lab = Lab::start().await;
    let mut document = compose(&sleepers(1));
    document["allow_mutable_images"] = json!(false);
    let told = refusal(&lab.guest(&document, &[])).await;
    assert!(told.contains("@sha256") && told.contains(IMAGE), "{told}");
    let unsupported = compose("services:\n  a:\n    image: x/y:1\n    build: .\n");
    let told = refusal(&lab.guest(&unsupported, &[])).await;
    assert!(told.contains("build") && told.contains('4'), "{told}");
}

/// Why an app cannot be run, as its operator is told.
async fn refusal(guest: &Prepared) -> String {
    let mut agent = guest.start(&[]);
    let status = agent.until_phase("failed").await;
    assert!(status["app"]["advice"].is_string());
    assert!(agent.containers().await.is_empty());
    agent.terminate().await;
    status["app"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_compose_app_runs_reaches_its_socket_and_outlives_its_agent() {
    let lab = Lab::start().await;
    let services = format!(
        "services:\n  web:\n    image: {IMAGE}\n    command: [\"/bin/sh\", \"-c\", \"echo hello $$GREETING; test -S /var/run/dstack.sock && echo socket; exec sleep 100000\"]\n    environment:\n      GREETING: ${{GREETING}}\n    volumes:\n      - /var/run/dstack.sock:/var/run/dstack.sock\n    stop_grace_period: 1s\n"
    );
    let guest = lab.guest(&compose(&services), &[("GREETING", "world")]);
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    agent.until_logged("web", "hello world").await;
    agent.until_logged("web", "socket").await;
    let before = pids(&agent.containers().await);
    // SIGTERM leaves the containers, the next agent takes them over.
    agent.terminate().await;
    assert!(is_alive(before[0].1));
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    assert_eq!(pids(&agent.containers().await), before);
    stop(agent).await;
    assert!(!is_alive(before[0].1));
    let mut agent = guest.start(&["--stop-app"]);
    agent.until_phase("stopped").await;
    agent.post("/v1/start").await;
    agent.until_phase("running").await;
    let pid = pids(&agent.containers().await)[0].1;
    agent.terminate().await;
    assert!(!is_alive(pid));
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_agent_killed_under_twenty_containers_takes_all_of_them_over() {
    let mut lab = Lab::start().await;
    let guest = lab.guest(&compose(&sleepers(20)), &[]);
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    let before = pids(&agent.containers().await);
    assert_eq!(before.len(), 20);
    println!(
        "resident with 20 containers, just started: {} KiB",
        resident(agent.child.id())
    );
    agent.kill();
    assert!(before.iter().all(|(_, pid)| is_alive(*pid)));
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    assert_eq!(pids(&agent.containers().await), before);
    println!(
        "resident with 20 containers, taken over: {} KiB",
        resident(agent.child.id())
    );
    // What was taken over is supervised: a container that ends is started again.
    let (victim, pid) = before[0].clone();
    nix_kill(pid);
    agent.until("another process", |_| !is_alive(pid)).await;
    let end = std::time::Instant::now() + super::scene::PATIENCE;
    loop {
        let now = pids(&agent.containers().await);
        let fresh = now.iter().find(|(name, _)| *name == victim).unwrap().1;
        if fresh != pid && fresh != 0 {
            break;
        }
        assert!(std::time::Instant::now() < end, "{now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // containerd may end and come back: what runs goes on.
    let before = pids(&agent.containers().await);
    lab.containerd.restart().await.unwrap();
    assert!(before.iter().all(|(_, pid)| is_alive(*pid)));
    agent.kill();
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    assert_eq!(pids(&agent.containers().await), before);
    stop(agent).await;
    assert!(before.iter().all(|(_, pid)| !is_alive(*pid)));
}

fn nix_kill(pid: u64) {
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status();
    assert!(killed.unwrap().success());
}
