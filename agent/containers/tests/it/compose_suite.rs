//! The corpus of compose files on a real containerd: each file of `tests/compose` is brought up and held to the steps of the `.toml`
//! beside it. A condition is waited for until a deadline; nothing here sleeps for luck.

use crate::lab::{IMAGE, LIMIT, Scene, lines};
use container_runtime::{ContainerState, ContainerStatus, Health, Progress, Running};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

/// What is expected of a file. The facts of the file itself (`order`, `networks`, `volumes`) are checked where it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Expectation {
    about: String,
    order: Vec<String>,
    networks: Option<Vec<String>>,
    volumes: Option<Vec<String>>,
    /// The app's environment.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Files of the project's folder.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Text of the error `up` must end with.
    fails: Option<String>,
    #[serde(default)]
    step: Vec<Step>,
}

#[derive(Deserialize, Debug)]
#[serde(untagged, deny_unknown_fields)]
enum Step {
    /// Containers of a service: how they are, how many, with which exit code, after how many restarts at least.
    Wait {
        wait: String,
        is: Option<String>,
        code: Option<u32>,
        count: Option<usize>,
        restarts: Option<u32>,
    },
    /// Texts the log of a service comes to have.
    Log { log: String, has: Texts },
    /// A text the log of a service does not have.
    LogLacks { log: String, lacks: String },
    /// A page that comes to have a text.
    Get { get: String, has: String },
    /// Bringing the project up again changes nothing: the same processes go on.
    Again { again: bool },
    /// The project is stopped; a service ends with a code.
    Stop { stop: String, code: u32 },
}

#[derive(Deserialize, Debug)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts.iter().map(String::as_str).collect(),
        }
    }
}

fn is(status: &ContainerStatus, word: &str) -> bool {
    let running = status.state == ContainerState::Running;
    match word {
        "running" => running,
        "healthy" => running && status.health == Some(Health::Healthy),
        "unhealthy" => running && status.health == Some(Health::Unhealthy),
        "exited" => status.state == ContainerState::Exited,
        other => panic!("expected running, healthy, unhealthy or exited, got {other}"),
    }
}

/// Asks `what` until it says yes.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(last) => assert!(Instant::now() < deadline, "not in {LIMIT:?}: {what}: {last}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn page(url: &str) -> Result<String, String> {
    let rest = url.strip_prefix("http://").ok_or("expected http://")?;
    let (address, path) = rest.split_once('/').ok_or("expected a path")?;
    let address: SocketAddr = address.parse().map_err(|_| "expected ip:port")?;
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).map_err(text)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .map_err(text)?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n").map_err(text)?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer).map_err(text)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn pids(running: &Running) -> BTreeMap<String, Option<u32>> {
    let all = running.containers().into_iter();
    all.filter(|one| one.state == ContainerState::Running)
        .map(|one| (one.id, one.pid))
        .collect()
}

struct Suite {
    scene: Scene,
    project: compose_file::Project,
    env: BTreeMap<String, String>,
}

impl Suite {
    async fn up(&self, adopted: &Mutex<Vec<String>>) -> Result<Running, String> {
        let runtime = self.scene.runtime().await;
        let progress = |progress: Progress| {
            if let Progress::Adopted { container } = progress {
                adopted.lock().unwrap().push(container);
            }
        };
        let up = runtime.up(&self.project, self.scene.folder.path(), &self.env, &progress);
        let up = tokio::time::timeout(LIMIT, up).await;
        up.map_err(|_| format!("not up in {LIMIT:?}"))?
            .map_err(|error| error.chain())
    }

    async fn step(&self, running: Running, step: &Step) -> Option<Running> {
        match step {
            Step::Wait {
                wait,
                is: word,
                code,
                count,
                restarts,
            } => {
                let what = |all: &[ContainerStatus]| {
                    let mine: Vec<_> = all.iter().filter(|one| one.service == *wait).collect();
                    let state = |one: &&&ContainerStatus| {
                        word.as_ref().is_none_or(|word| is(one, word))
                            && code.is_none_or(|code| one.exit_code == Some(code))
                            && restarts.is_none_or(|least| one.restarts >= least)
                    };
                    mine.len() == count.unwrap_or(1) && mine.iter().filter(state).count() == mine.len()
                };
                crate::lab::until(&running, &format!("{step:?}"), what).await;
            }
            Step::Log { log, has } => {
                eventually(&format!("{step:?}"), async || {
                    let all = lines(&running, log).await.join("\n");
                    match has.all().iter().all(|text| all.contains(text)) {
                        true => Ok(()),
                        false => Err(all),
                    }
                })
                .await;
            }
            Step::LogLacks { log, lacks } => {
                let all = lines(&running, log).await.join("\n");
                assert!(!all.contains(lacks), "{step:?}: {all}");
            }
            Step::Get { get, has } => {
                let ask =
                    async || page(get).and_then(|page| if page.contains(has) { Ok(()) } else { Err(page) });
                eventually(&format!("{step:?}"), ask).await;
            }
            Step::Again { again } => {
                assert!(again);
                let before = pids(&running);
                drop(running);
                let adopted = Mutex::default();
                let running = self.up(&adopted).await.unwrap();
                assert_eq!(pids(&running), before);
                assert!(adopted.into_inner().unwrap().len() >= before.len());
                return Some(running);
            }
            Step::Stop { stop, code } => {
                let stopped = tokio::time::timeout(LIMIT, running.stop(None))
                    .await
                    .unwrap()
                    .unwrap();
                let one = crate::lab::one(&stopped, stop);
                assert_eq!(one.exit_code, Some(*code), "{one:#?}");
                return None;
            }
        }
        Some(running)
    }
}

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose")
}

async fn run(name: &str) {
    let text = fs::read_to_string(corpus().join(format!("{name}.toml"))).unwrap();
    let expected: Expectation = toml::from_str(&text).unwrap();
    let yaml = fs::read(corpus().join(format!("{name}.yml"))).unwrap();
    let variables = |name: &str| match name {
        "LAB_IMAGE" => Some(IMAGE.to_owned()),
        name => expected.env.get(name).cloned(),
    };
    let project = compose_file::parse(&yaml, &variables).unwrap();
    let scene = Scene::new().await;
    for (path, text) in &expected.files {
        let path = scene.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let suite = Suite {
        scene,
        project,
        env: expected.env,
    };
    let mut up = match (suite.up(&Mutex::default()).await, expected.fails) {
        (Ok(running), None) => Some(running),
        (Err(error), Some(fails)) => {
            assert!(error.contains(&fails), "expected {fails}, got {error}");
            None
        }
        (Ok(_), Some(fails)) => panic!("expected {fails}, but it came up"),
        (Err(error), None) => panic!("{error}"),
    };
    for step in &expected.step {
        up = suite.step(up.unwrap(), step).await;
    }
    drop(up);
    suite.scene.down().await;
}

macro_rules! files {
    ($($test:ident = $file:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                run($file).await;
            }
        )*
        const FILES: &[&str] = &[$($file),*];
    };
}

#[test]
fn every_file_of_the_corpus_is_run() {
    let mut found: Vec<String> = fs::read_dir(corpus())
        .unwrap()
        .filter_map(|entry| {
            Some(
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".yml")?
                    .to_owned(),
            )
        })
        .collect();
    let mut run: Vec<String> = FILES.iter().map(|name| (*name).to_owned()).collect();
    found.sort();
    run.sort();
    assert_eq!(found, run);
}

files! {
    anchors = "anchors";
    bind_missing = "bind-missing";
    bind_project = "bind-project";
    capabilities = "capabilities";
    chain_of_services = "chain-of-services";
    commands = "commands";
    configs = "configs";
    devices = "devices";
    dns_search = "dns-search";
    env_files = "env-files";
    env_list_and_map = "env-list-and-map";
    extra_hosts = "extra-hosts";
    health_disabled = "health-disabled";
    health_exec = "health-exec";
    health_never = "health-never";
    health_start_period = "health-start-period";
    health_unhealthy = "health-unhealthy";
    hostname = "hostname";
    job_done = "job-done";
    job_fails = "job-fails";
    job_migrate_then_serve = "job-migrate-then-serve";
    job_migration_fails = "job-migration-fails";
    labels_and_annotations = "labels-and-annotations";
    limits_memory = "limits-memory";
    limits_processes = "limits-processes";
    logging_rotation = "logging-rotation";
    network_host = "network-host";
    network_none = "network-none";
    network_of_a_service = "network-of-a-service";
    networks_aliases = "networks-aliases";
    networks_fixed_address = "networks-fixed-address";
    networks_internal = "networks-internal";
    networks_two_tiers = "networks-two-tiers";
    no_new_privileges = "no-new-privileges";
    periodic_job = "periodic-job";
    ports_range = "ports-range";
    ports_long = "ports-long";
    privileged = "privileged";
    profiles = "profiles";
    queue_and_workers = "queue-and-workers";
    read_only_root = "read-only-root";
    replicas = "replicas";
    restart_always = "restart-always";
    restart_gives_up = "restart-gives-up";
    restart_on_failure = "restart-on-failure";
    restarted_service_is_found = "restarted-service-is-found";
    secrets = "secrets";
    shm_size = "shm-size";
    stop_grace = "stop-grace";
    stop_signal = "stop-signal";
    sysctls = "sysctls";
    tmpfs_long = "tmpfs-long";
    tmpfs = "tmpfs";
    tty = "tty";
    ulimits = "ulimits";
    user_and_groups = "user-and-groups";
    variables = "variables";
    volume_anonymous = "volume-anonymous";
    volume_read_only = "volume-read-only";
    volume_seeded = "volume-seeded";
    volume_shared = "volume-shared";
    volume_subpath = "volume-subpath";
    web_db_worker = "web-db-worker";
    web_static = "web-static";
}
