//! An app from a compose file on this machine: real containerd, the guest's own programs, a software TD, a real KMS node on a
//! real chain. What its owner sees, what survives, what is left behind.

use super::{Down, fails, json, kedge};
use alloy::sol_types::SolEvent;
use container_lab::Image;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A compose file with its image, environment and a port of its own.
pub(crate) struct App {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    digest: String,
}

impl App {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::busybox()
            .unwrap()
            .build(&folder.path().join("image"))
            .unwrap();
        image
            .archive(&folder.path().join("image.tar"), "lab.local/web:1")
            .unwrap();
        let app = Self {
            port: container_lab::free_port().unwrap(),
            digest: image.digest.clone(),
            folder,
        };
        fs::write(app.path("secrets.env"), "GREETING=from the environment\n").unwrap();
        app.write("one");
        app
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes the compose file; `version` makes it another document.
    pub(crate) fn write(&self, version: &str) {
        let text = format!(
            r#"services:
  web:
    image: lab.local/web:1@{digest}
    command: ["sh", "-c", "mkdir -p /tmp/www; echo \"$$GREETING {version}\" > /tmp/www/index.html; date >> /data/boots; cp /data/boots /tmp/www/boots; echo boot $$(wc -l < /data/boots); exec httpd -f -p 80 -h /tmp/www"]
    stop_grace_period: 500ms
    environment:
      GREETING: ${{GREETING}}
    ports: ["127.0.0.1:{port}:80"]
    volumes: ["data:/data", "/var/run/dstack.sock:/var/run/dstack.sock"]
    healthcheck:
      test: ["CMD", "wget", "-O", "-", "http://127.0.0.1/"]
      interval: 500ms
volumes:
  data: {{}}
"#,
            digest = self.digest,
            port = self.port,
        );
        fs::write(self.path("docker-compose.yml"), text).unwrap();
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let (file, env, image) = (
            self.text("docker-compose.yml"),
            self.text("secrets.env"),
            self.text("image.tar"),
        );
        [
            "deploy",
            &file,
            "--name",
            "web",
            "--env-file",
            &env,
            "--image-archive",
            &image,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    pub(crate) fn deploy(&self, state: &Path, extra: &[&str]) -> Value {
        let fixed = self.arguments();
        let fixed: Vec<&str> = fixed.iter().map(String::as_str).collect();
        json(state, &[fixed.as_slice(), extra].concat())
    }

    /// Deploys, and kills the command as soon as it has said these words.
    fn deploy_until(&self, state: &Path, words: &str) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kedge"));
        command.arg("--state").arg(state).args(self.arguments());
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        // The command holds the writing end; the reader ends with its last holder.
        drop(command);
        let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
        let seen = lines.any(|line| line.contains(words));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen, "{words:?} is never said");
    }

    /// Nobody listens, and the caller is told so at once.
    fn refuses(&self) {
        let started = Instant::now();
        let refused = TcpStream::connect_timeout(&([127, 0, 0, 1], self.port).into(), Duration::from_secs(5));
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the published port answers");
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        exchange(&mut stream, &format!("GET {path} HTTP/1.0\r\n\r\n"))
    }
}

/// What an instance has outside its folder, by the names it has there.
struct Traces {
    words: Vec<String>,
    folder: String,
}

impl Traces {
    /// Of an instance that runs.
    fn of(instance: &Path, port: u16) -> Self {
        let networks = fs::read_dir(instance.join("data/containers/networks")).unwrap();
        let mut words: Vec<String> = networks
            .map(|entry| {
                let text = fs::read(entry.unwrap().path()).unwrap();
                let network: Value = serde_json::from_slice(&text).unwrap();
                let bridge = network["bridge"].as_str().unwrap();
                bridge.strip_prefix("kdg").unwrap().to_owned()
            })
            .collect();
        assert!(!words.is_empty());
        words.push(format!("--dport {port} "));
        words.push(format!("--dports {port} "));
        let namespaces = fs::read_dir(instance.join("c/state/io.containerd.runtime.v2.task")).unwrap();
        words.extend(
            namespaces
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.starts_with("kedge-")),
        );
        Self {
            words,
            folder: instance.display().to_string(),
        }
    }

    /// Every line of the machine's own lists that names it: packet rules, interfaces, control groups, mounts, runc's notes,
    /// network namespaces.
    fn found(&self) -> Vec<String> {
        let run = |program: &str, arguments: &[&str]| {
            let output = std::process::Command::new(program).args(arguments).output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        };
        let mut lists = run("iptables-save", &[]) + &run("ip", &["-o", "link"]) + &run("ip", &["netns"]);
        for folder in ["/run/containerd/runc", "/run/netns", "/var/run/netns"] {
            lists += &run("find", &[folder, "-maxdepth", "2"]);
        }
        lists += &run("find", &["/sys/fs/cgroup", "-type", "d", "-path", "*/kedge/*"]);
        lists += &fs::read_to_string("/proc/mounts").unwrap();
        let words = self.words.iter().chain([&self.folder]);
        words
            .flat_map(|word| lists.lines().filter(move |line| line.contains(word.as_str())))
            .map(str::to_owned)
            .collect()
    }
}

fn log(state: &Path) -> String {
    String::from_utf8(kedge(state, &["logs", "web"]).stdout).unwrap()
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
        .split_once("\r\n\r\n")
        .map_or(String::new(), |(_, body)| body.to_owned())
}

/// The app's key of a path, from its socket.
pub(crate) fn key(deployed: &Value) -> String {
    let mut stream = UnixStream::connect(deployed["app_socket"].as_str().unwrap()).unwrap();
    let body = exchange(
        &mut stream,
        "GET /GetKey?path=disk HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    let object: Value = serde_json::from_str(body.trim()).unwrap_or_else(|error| panic!("{error}: {body}"));
    object["key"].as_str().unwrap().to_owned()
}

pub(crate) fn row(state: &Path) -> Value {
    json(state, &["ps"])["instances"][0].clone()
}

fn until(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !condition() {
        assert!(Instant::now() < end, "{what} within {seconds} s");
    }
}

/// Processes of a folder that is gone or stopped.
fn processes_of(folder: &Path) -> usize {
    let folder = folder.display().to_string();
    let all = fs::read_dir("/proc").unwrap();
    all.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|command| String::from_utf8_lossy(command).contains(&folder))
        .count()
}

#[test]
fn an_app_lives_through_updates_and_kills_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let app = App::new();
    let file = app.text("docker-compose.yml");
    assert!(fails(state, &["deploy", &file, "--name", "web"], 4).contains("kedge dev up"));
    let _down = Down(state);
    json(state, &["dev", "up"]);

    let first = app.deploy(state, &[]);
    assert!(
        app.get("/").starts_with("from the environment one"),
        "{}",
        app.get("/")
    );
    let (first_key, first_app) = (key(&first), first["app"].clone());
    assert_eq!(row(state)["state"], "running");
    assert_eq!(row(state)["lease"], "held");
    let inspect = json(state, &["inspect", "web"]);
    assert_eq!(inspect["storage_encrypted"], false);
    assert_eq!(
        inspect["lease"]["token"],
        Value::Null,
        "a lease's token is shown to nobody"
    );

    // An update: another document of the same app, the same keys and data.
    app.write("two");
    let second = app.deploy(state, &[]);
    assert_eq!(second["app"], first_app);
    assert_ne!(second["compose_hash"], first["compose_hash"]);
    assert_eq!(key(&second), first_key);
    assert!(app.get("/").starts_with("from the environment two"));
    assert_eq!(app.get("/boots").lines().count(), 2, "the volume is kept");

    // kill -9 of the supervisor: seen, cleared, started again.
    let instance = state.join("instances/web");
    let pid: i32 = fs::read_to_string(instance.join("supervisor.pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the kill is seen", 10, || row(state)["state"] == "stopped");
    let third = json(state, &["start", "web"]);
    assert_eq!(key(&third), first_key);
    assert_eq!(app.get("/boots").lines().count(), 3);

    let traces = Traces::of(&instance, app.port);
    assert!(
        !traces.found().is_empty(),
        "what is looked for is found while it runs"
    );
    json(state, &["stop", "web"]);
    app.refuses();
    assert_eq!(traces.found(), Vec::<String>::new());
    assert_eq!(processes_of(&instance), 0);
    json(state, &["start", "web"]);
    assert_eq!(app.get("/boots").lines().count(), 4);
    // What the container wrote before it was stopped is still there.
    let written = log(state);
    assert!(
        written.contains("boot 3\n") && written.contains("boot 4\n"),
        "{written}"
    );
    assert!(fails(state, &["rm", "web"], 1).contains("--yes"));
    json(state, &["rm", "web", "--yes"]);
    assert!(!instance.exists());
    app.refuses();
    assert_eq!(traces.found(), Vec::<String>::new());
    assert_eq!(processes_of(&instance), 0);
    assert!(fails(state, &["inspect", "web"], 3).contains("no instance web"));
}

#[test]
fn a_revoked_app_is_stopped_and_ps_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let app = App::new();
    let _down = Down(state);
    json(state, &["dev", "up"]);
    let deployed = app.deploy(state, &["--grace", "0"]);
    let (id, hash) = (
        deployed["app"].as_str().unwrap(),
        deployed["compose_hash"].as_str().unwrap(),
    );
    json(state, &["app", "revoke", id, "--compose-hash", hash]);
    until("the app is stopped", 60, || {
        row(state)["state"].as_str().unwrap().starts_with("stopped")
    });
    assert!(
        row(state)["lease"].as_str().unwrap().contains("denied"),
        "{}",
        row(state)
    );
    // A new boot gets no keys, and the contract's reason is the owner's.
    assert!(fails(state, &["start", "web"], 3).contains("compose_hash_not_allowed"));
    json(state, &["rm", "web", "--yes"]);
}

#[test]
fn what_a_guest_would_refuse_is_refused_before_the_chain_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let _down = Down(state);
    json(state, &["dev", "up"]);
    let file = folder.path().join("docker-compose.yml");
    let deploy = |text: &str| {
        fs::write(&file, text).unwrap();
        fails(state, &["deploy", file.to_str().unwrap(), "--name", "web"], 3)
    };
    let unsupported = deploy(
        "services:\n  web:\n    image: a@sha256:0000000000000000000000000000000000000000000000000000000000000000\n    build: .\n",
    );
    assert!(
        unsupported.contains("build") && unsupported.contains("4"),
        "{unsupported}"
    );
    // A profile is a choice that no hash would show.
    let pinned = format!("services:\n  web:\n    image: a@sha256:{}\n", "0".repeat(64));
    fs::write(&file, pinned).unwrap();
    let profile = fails(
        state,
        &["deploy", file.to_str().unwrap(), "--profile", "debug"],
        3,
    );
    assert!(profile.contains("profiles"), "{profile}");
    let output = kedge(state, &["ps"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("no instances"));
}

/// Apps the network's factory ever made.
fn apps_made(state: &Path) -> Vec<String> {
    let network = json(state, &["dev", "status"]);
    let url = network["chain"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{
        "fromBlock": "0x0",
        "address": network["authority"],
        "topics": [authority_contracts::abi::KmsAuthority::AppDeployedViaFactory::SIGNATURE_HASH.to_string()],
    }]})
    .to_string();
    let mut stream = TcpStream::connect(&url).unwrap();
    let answer = exchange(
        &mut stream,
        &format!(
            "POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
    );
    let answer: Value =
        serde_json::from_str(answer.trim()).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let logs = answer["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
    logs.iter()
        .map(|log| log["topics"][1].as_str().unwrap().replace(&"0".repeat(24), ""))
        .collect()
}

#[test]
fn a_deploy_killed_anywhere_makes_no_second_app_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let app = App::new();
    let _down = Down(state);
    json(state, &["dev", "up"]);
    // Sent and perhaps not mined; mined and not heard of; heard of and not final.
    for words in ["  sender", "  transaction ", "waiting until the block"] {
        let others = apps_made(state);
        app.deploy_until(state, words);
        for later in ["starting", "boot"] {
            app.deploy_until(state, later);
        }
        let deployed = app.deploy(state, &[]);
        let mut made = apps_made(state);
        made.retain(|app| !others.contains(app));
        assert_eq!(made, [deployed["app"].as_str().unwrap().to_owned()], "{words}");
        assert!(app.get("/").starts_with("from the environment one"));
        if words != "waiting until the block" {
            json(state, &["rm", "web", "--yes"]);
        }
    }
    // An update that was cut short before it was final is waited for, not believed.
    app.write("two");
    app.deploy_until(state, "waiting until the block");
    app.deploy(state, &[]);
    assert!(app.get("/").starts_with("from the environment two"));
    json(state, &["rm", "web", "--yes"]);
}

#[test]
fn a_broken_record_is_shown_beside_the_others_and_the_network_ends_with_its_instances() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let app = App::new();
    let _down = Down(state);
    json(state, &["dev", "up"]);
    app.deploy(state, &[]);
    for (name, text) in [
        ("cut", r#"{"name": "cut", "se"#),
        ("alien", r#"{"name": "alien", "wheels": 4}"#),
    ] {
        let broken = state.join("instances").join(name);
        fs::create_dir_all(&broken).unwrap();
        fs::write(broken.join("instance.json"), text).unwrap();
    }
    fs::create_dir_all(state.join("instances/lost/data")).unwrap();
    let all = json(state, &["ps"])["instances"].clone();
    let names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].clone())
        .collect();
    assert_eq!(names, ["alien", "cut", "lost", "web"]);
    for row in &all.as_array().unwrap()[..3] {
        let (name, shown) = (row["name"].as_str().unwrap(), row["state"].as_str().unwrap());
        assert!(shown.starts_with("broken: instance.json: "), "{shown}");
        assert!(shown.contains(&format!("kedge rm {name} --yes")), "{shown}");
        let text = kedge(state, &["ps"]);
        assert!(text.status.success() && String::from_utf8_lossy(&text.stdout).contains(name));
    }
    assert_eq!(all[3]["state"], "running");
    assert!(fails(state, &["start", "cut"], 1).contains("kedge rm cut --yes"));
    for name in ["cut", "alien", "lost"] {
        json(state, &["rm", name, "--yes"]);
    }
    // The network does not leave them behind.
    let traces = Traces::of(&state.join("instances/web"), app.port);
    json(state, &["dev", "down"]);
    app.refuses();
    assert_eq!(traces.found(), Vec::<String>::new());
    assert_eq!(row(state)["state"], "stopped");
    json(state, &["dev", "up"]);
    json(state, &["start", "web"]);
    assert_eq!(app.get("/boots").lines().count(), 2);
    json(state, &["rm", "web", "--yes"]);
}
