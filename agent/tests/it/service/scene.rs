//! A guest as setup leaves it, over a simulated TD, and the real program on it.

use guest_files::{
    BootMode, GuestKeys, GuestPaths, HandOver, HandOverVersion, KeyProviderInfo, KmsAccess, Registries,
    Storage, StorageKind,
};
use kms_types::{AppId, Blob, ComposeHash, HostConfigHash, InstanceId, InstanceSeed, KeyEpoch, UnixTime};
use kms_wire::SecretBytes;
use serde_json::{Value, json};
use soft_td::{AppBoot, PlatformConfig, PlatformSeed, SimImage, SoftPlatform, SoftTd, server};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const APP: AppId = AppId::new([0xa7; 20]);
const SEED: InstanceSeed = InstanceSeed::new([0x5e; 20]);
const IMAGE: &str = "agent tests";

/// A guest after setup.
pub(crate) struct Prepared {
    _server: server::TdServer,
    pub(crate) paths: GuestPaths,
    pub(crate) config: Vec<(String, String)>,
    pub(crate) folder: TempDir,
}

/// The program on it.
pub(crate) struct Program {
    pub(crate) child: Child,
    client: reqwest::Client,
    log: PathBuf,
}

pub(crate) fn soft_td(compose: &[u8]) -> (Arc<SoftTd>, Vec<u8>) {
    let platform = SoftPlatform::new(PlatformSeed::public("agent"), PlatformConfig::default()).unwrap();
    let image = SimImage::new(IMAGE).unwrap();
    let measurement = image.measurement("small").unwrap();
    let boot = AppBoot {
        app_id: APP,
        compose_hash: ComposeHash::of(compose),
        instance_seed: Some(SEED),
        host_config: HostConfigHash::new([0x0c; 32]),
    };
    let td = Arc::new(boot.launch(&platform, measurement).unwrap());
    soft_td::finish_boot(&*td, br#"{"name":"none","id":""}"#).unwrap();
    (td, image.catalogue().proof(&measurement).unwrap())
}

impl Prepared {
    /// A guest without a KMS.
    pub(crate) fn new(compose: &Value, env: &[(&str, &str)]) -> Self {
        let text = compose.to_string();
        let (td, proof) = soft_td(text.as_bytes());
        Self::of(&text, env, td, APP, SEED, proof, None)
    }

    pub(crate) fn of(
        text: &str,
        env: &[(&str, &str)],
        td: Arc<SoftTd>,
        app_id: AppId,
        seed: InstanceSeed,
        image_proof: Vec<u8>,
        kms: Option<KmsAccess>,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("kedge-ag-").tempdir().unwrap();
        let paths = GuestPaths::new(folder.path().join("run"), folder.path().join("data"));
        for path in [paths.run(), paths.data()] {
            fs::create_dir(path).unwrap();
        }
        let socket = folder.path().join("td.sock");
        let server = server::serve(td, &socket).unwrap();
        let instance_id = InstanceId::derive(&seed, &app_id);
        fs::write(paths.app_compose(), text).unwrap();
        let env: Vec<_> = env
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect();
        fs::write(paths.env(), json!({ "env": env }).to_string()).unwrap();
        paths
            .write_keys(&GuestKeys {
                app_id,
                instance_id,
                key_epoch: KeyEpoch::FIRST,
                app_key: SecretBytes::new(Box::new([7; 32])),
                app_key_signature: Blob::default(),
                ca_certificates: String::new(),
                gateway_app_id: AppId::ZERO,
                instance_seal_secret: None,
                disk_marker_key: None,
            })
            .unwrap();
        let mode = if kms.is_some() {
            BootMode::Kms
        } else {
            BootMode::None
        };
        paths
            .write_handover(&HandOver {
                version: HandOverVersion,
                app_id,
                app_name: "<b>demo</b>".to_owned(),
                instance_id,
                instance_seed: Some(seed),
                compose_hash: ComposeHash::of(text.as_bytes()),
                os_image_hash: SimImage::new(IMAGE).unwrap().catalogue().os_image_hash(),
                boot_mode: mode,
                key_provider: KeyProviderInfo {
                    name: "none".to_owned(),
                    id: String::new(),
                },
                kms,
                image_proof,
                vm_config: String::new(),
                storage: Storage {
                    kind: StorageKind::Directory,
                    encrypted: false,
                    path: paths.data().to_owned(),
                    generation: None,
                    counted: None,
                },
                env_version: None,
                registries: Registries::default(),
                td: format!("socket:{}", socket.display()),
                simulated: true,
                booted_at: UnixTime(1),
            })
            .unwrap();
        Self {
            _server: server,
            paths,
            config: vec![
                ("PAGE__PORT".to_owned(), "0".to_owned()),
                ("LOG__FORMAT".to_owned(), "text".to_owned()),
            ],
            folder,
        }
    }

    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.config.push((key.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kedge-agent"));
        command
            .arg("run")
            .arg("--run")
            .arg(self.paths.run())
            .arg("--data")
            .arg(self.paths.data())
            .args(more);
        for (key, value) in &self.config {
            command.env(format!("KEDGE_AGENT__{key}"), value);
        }
        command
    }

    pub(crate) fn start(&self, more: &[&str]) -> Program {
        let log = self.folder.path().join("agent.log");
        let file = fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = self
            .command(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        self.watch(child)
    }

    /// The program, started in another way.
    pub(crate) fn watch(&self, child: Child) -> Program {
        let client = reqwest::Client::builder()
            .unix_socket(self.paths.agent_socket())
            .build()
            .unwrap();
        let log = self.folder.path().join("agent.log");
        Program { child, client, log }
    }
}

impl Program {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String), reqwest::Error> {
        let answer = self.client.get(format!("http://agent{path}")).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    pub(crate) async fn post(&self, path: &str) -> (u16, String) {
        let answer = self
            .client
            .post(format!("http://agent{path}"))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path).await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until the status satisfies a condition.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            if let Ok((200, text)) = self.get("/v1/status").await {
                let status = serde_json::from_str(&text).unwrap();
                if holds(&status) {
                    return status;
                }
                last = text;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "{what}: the agent ended: {ended:?}: {}",
                self.log()
            );
            assert!(
                Instant::now() < end,
                "not in time: {what}: {last}: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    pub(crate) async fn until_phase(&mut self, phase: &str) -> Value {
        self.until(phase, |status| status["app"]["phase"] == phase).await
    }

    pub(crate) async fn containers(&self) -> Vec<Value> {
        self.json("/v1/containers").await["containers"]
            .as_array()
            .unwrap()
            .clone()
    }

    pub(crate) async fn until_logged(&self, service: &str, line: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, text) = self.get(&format!("/v1/logs?service={service}")).await.unwrap();
            let lines: Vec<String> = text
                .lines()
                .filter_map(|line| {
                    let item: Value = serde_json::from_str(line).unwrap();
                    item["text"].as_str().map(str::to_owned)
                })
                .collect();
            if status == 200 && lines.iter().any(|found| found.contains(line)) {
                return lines;
            }
            assert!(
                Instant::now() < end,
                "{line:?} is not in {text:?}: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// SIGTERM, and its end.
    pub(crate) async fn terminate(mut self) -> String {
        self.signal("TERM");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.log());
                return self.log();
            }
            assert!(Instant::now() < end, "the agent does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn is_alive(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

pub(crate) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
