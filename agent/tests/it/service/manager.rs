//! What a service manager sees: ready, status, watchdog, stopping; and sockets it hands over.

use super::scene::{PATIENCE, Prepared};
use serde_json::{Value, json};
use std::{
    os::unix::net::{UnixDatagram, UnixListener},
    process::Stdio,
    time::{Duration, Instant},
};

fn bash() -> Value {
    json!({"manifest_version": 2, "name": "demo", "runner": "bash", "bash_script": "exec sleep 1000"})
}

/// Reads messages until one holds the text.
fn until_told(socket: &UnixDatagram, text: &str) -> String {
    let end = Instant::now() + PATIENCE;
    let mut all = String::new();
    let mut buffer = [0; 4096];
    while Instant::now() < end {
        if let Ok(length) = socket.recv(&mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            all.push_str(&message);
            if message.contains(text) {
                return all;
            }
        }
    }
    panic!("{text} was not told: {all}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_is_told_and_its_watchdog_fed() {
    let guest = Prepared::new(&bash(), &[]);
    let path = guest.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let child = guest
        .command(&[])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let agent = guest.watch(child);
    let told = until_told(&socket, "READY=1");
    assert!(!told.contains("WATCHDOG=1"), "ready comes first: {told}");
    until_told(&socket, "WATCHDOG=1");
    until_told(&socket, "WATCHDOG=1");
    agent.signal("TERM");
    until_told(&socket, "STOPPING=1");
    agent.terminate().await;
}

#[tokio::test]
async fn a_socket_that_is_handed_over_is_served() {
    let guest = Prepared::new(&bash(), &[]);
    let path = guest.paths.dstack_socket();
    let handed = UnixListener::bind(&path).unwrap();
    let inode = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).unwrap().ino()
    };
    let before = inode(&path);
    let plain = guest.command(&[]);
    // Descriptor 3, and the process id that is the agent's own after exec: as a manager passes them.
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args([
            "-c",
            "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"",
            "sh",
        ])
        .arg(plain.get_program())
        .args(plain.get_args())
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(handed)))
        .stderr(Stdio::null());
    let mut agent = guest.watch(command.spawn().unwrap());
    agent.until_phase("running").await;
    assert_eq!(inode(&path), before, "the socket is the one that was handed over");
    let client = reqwest::Client::builder().unix_socket(path).build().unwrap();
    let version = client.get("http://d/Version").send().await.unwrap();
    assert_eq!(version.status(), 200);
    agent.terminate().await;
}

#[test]
fn the_unit_names_options_the_program_has() {
    let unit = include_str!("../../../systemd/kedge-agent.service");
    let sockets = include_str!("../../../systemd/kedge-agent.socket");
    let mut config = String::new();
    for line in unit.lines() {
        if let Some(setting) = line.strip_prefix("Environment=KEDGE_AGENT__SOCKETS__") {
            let (key, path) = setting.split_once('=').unwrap();
            config.push_str(&format!("{} = {path:?}\n", key.to_lowercase()));
            assert!(sockets.contains(&format!("ListenStream={path}\n")), "{path}");
        }
    }
    let config = agent::config::Config::text(&format!("[sockets]\n{config}")).unwrap();
    assert_eq!(config.sockets.dstack.to_str(), Some("/var/run/dstack.sock"));
}
