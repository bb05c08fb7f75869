//! An instance with both sockets: a simulated TD that has booted an app, keys of a real epoch, certificates by the KMS's own code.

use agent::socket::{
    AppFacts, AppState, CertificateIssuer, CertificateOrder, IssueError, KeyMaterial, NoIssuer, SocketKind,
    TdAccess, bind, serve,
};
use async_trait::async_trait;
use kms_keys::{CaError, EpochKeys, EpochRoot, LeafRequest, Secret, Validity, app_domain, instance_domain};
use kms_types::{
    AppId, ComposeHash, HostConfigHash, InstanceId, InstanceSeed, KeyEpoch, OsImageHash, UnixTime,
};
use serde_json::Value;
use soft_td::{AppBoot, PlatformConfig, PlatformSeed, SimImage, SoftPlatform, SoftTd, finish_boot};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use td_quote::Td;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::oneshot,
    task::JoinHandle,
};

pub(crate) const APP: AppId = AppId::new([0xa1; 20]);
pub(crate) const SEED: InstanceSeed = InstanceSeed::new([0x5e; 20]);
pub(crate) const COMPOSE: &str =
    r#"{"manifest_version":2,"name":"demo","runner":"docker-compose","docker_compose_file":"services: {}"}"#;
pub(crate) const KEY_PROVIDER: &str = r#"{"name":"kms","id":"0x01"}"#;
pub(crate) const VM_CONFIG: &str = r#"{"cpu_count":2}"#;

/// How far the boot went before the agent started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boot {
    Ready,
    Unfinished,
}

/// Who gave the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Kms,
    None,
}

pub(crate) struct Instance {
    _folder: TempDir,
    pub(crate) dstack: PathBuf,
    pub(crate) tappd: PathBuf,
    pub(crate) td: Arc<SoftTd>,
    pub(crate) epoch: Arc<EpochKeys>,
    pub(crate) state: Arc<AppState>,
    stops: Vec<oneshot::Sender<()>>,
    pub(crate) servers: Vec<JoinHandle<()>>,
}

pub(crate) fn instance_id() -> InstanceId {
    InstanceId::derive(&SEED, &APP)
}

/// Certifies with the code of a KMS node, without a node: who may ask is not the socket's business.
struct EpochIssuer {
    epoch: Arc<EpochKeys>,
}

#[async_trait]
impl CertificateIssuer for EpochIssuer {
    async fn issue(&self, order: CertificateOrder) -> Result<Vec<String>, IssueError> {
        let permitted = [app_domain(&APP), instance_domain(&APP, &instance_id())];
        let from = order.not_before.unwrap_or(now());
        let until = order.not_after.unwrap_or(UnixTime(from.0 + 3600));
        let request = LeafRequest {
            app: APP,
            csr: &order.csr,
            permitted: &permitted,
            validity: Validity::starting(from, until.0.saturating_sub(from.0)),
        };
        match self.epoch.issue_leaf(&request) {
            Ok(chain) => Ok(chain.to_vec()),
            Err(error @ CaError::Key(_)) => Err(IssueError::Unavailable {
                reason: error.to_string(),
            }),
            Err(error) => Err(IssueError::Malformed {
                reason: error.to_string(),
            }),
        }
    }
}

pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime(since.as_secs())
}

fn soft_td(boot: Boot) -> SoftTd {
    let platform = SoftPlatform::new(PlatformSeed::public("agent"), PlatformConfig::default()).unwrap();
    let app = AppBoot {
        app_id: APP,
        compose_hash: ComposeHash::of(COMPOSE.as_bytes()),
        instance_seed: Some(SEED),
        host_config: HostConfigHash::new([0x0c; 32]),
    };
    let image = SimImage::new("demo").unwrap().measurement("small").unwrap();
    let td = app.launch(&platform, image).unwrap();
    if boot == Boot::Ready {
        finish_boot(&td, KEY_PROVIDER.as_bytes()).unwrap();
    }
    td
}

pub(crate) fn facts() -> AppFacts {
    AppFacts {
        app_id: APP,
        app_name: "demo".to_owned(),
        instance_id: Some(instance_id()),
        app_compose: COMPOSE.to_owned(),
        compose_hash: ComposeHash::of(COMPOSE.as_bytes()),
        os_image_hash: OsImageHash::new([0x05; 32]),
        image_proof: vec![7; 16],
        key_provider_info: KEY_PROVIDER.to_owned(),
        vm_config: VM_CONFIG.to_owned(),
        cloud_vendor: "QEMU".to_owned(),
        cloud_product: "Standard PC".to_owned(),
    }
}

impl Instance {
    pub(crate) async fn start() -> Self {
        Self::with(Boot::Ready, Mode::Kms).await
    }

    pub(crate) async fn with(boot: Boot, mode: Mode) -> Self {
        let td = Arc::new(soft_td(boot));
        Self::over(td.clone(), td, mode).await
    }

    /// An instance whose agent reaches its TD through `access`.
    pub(crate) async fn over(td: Arc<SoftTd>, access: Arc<dyn Td>, mode: Mode) -> Self {
        let root = EpochRoot::from_secret(KeyEpoch(1), Secret::new(Box::new([9; 32])));
        let epoch = Arc::new(EpochKeys::derive(root).unwrap());
        let secrets = epoch.app_keys(&APP, &instance_id()).unwrap();
        let key = KeyMaterial {
            app_key: secrets.app_key,
            key_epoch: KeyEpoch(1),
            kms_signature: (mode == Mode::Kms).then_some(secrets.app_key_signature),
        };
        let issuer: Arc<dyn CertificateIssuer> = match mode {
            Mode::Kms => Arc::new(EpochIssuer { epoch: epoch.clone() }),
            Mode::None => Arc::new(NoIssuer),
        };
        let access = Arc::new(TdAccess::new(access));
        let state = AppState::open(facts(), key, access, issuer).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut instance = Self {
            dstack: folder.path().join("dstack.sock"),
            tappd: folder.path().join("tappd.sock"),
            _folder: folder,
            td,
            epoch,
            state,
            stops: Vec::new(),
            servers: Vec::new(),
        };
        for (path, kind) in [
            (instance.dstack.clone(), SocketKind::Dstack),
            (instance.tappd.clone(), SocketKind::Tappd),
        ] {
            let (stop, stopped) = oneshot::channel::<()>();
            let listener = bind(&path).unwrap();
            let serving = serve(listener, instance.state.clone(), kind, async {
                let _ = stopped.await;
            });
            instance.servers.push(tokio::spawn(serving));
            instance.stops.push(stop);
        }
        instance
    }

    /// Tells both servers to stop.
    pub(crate) fn stop(&mut self) {
        self.stops.clear();
    }

    /// POSTs to the main socket; the answer must be 200.
    pub(crate) async fn call(&self, method: &str, body: Value) -> Value {
        let answer = post(&self.dstack, method, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
        answer.json()
    }

    /// POSTs to the main socket; the answer must be an error of this status and code.
    pub(crate) async fn refused(&self, method: &str, body: Value, status: u16, code: &str) -> String {
        let answer = post(&self.dstack, method, &body.to_string()).await;
        assert_eq!(answer.status, status, "{method}: {}", answer.text());
        let json = answer.json();
        assert_eq!(json["code"], code, "{json}");
        json["error"].as_str().unwrap().to_owned()
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

pub(crate) async fn post(socket: &Path, method: &str, body: &str) -> Answer {
    let request = format!(
        "POST /{} HTTP/1.1\r\nhost: dstack\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        method.trim_start_matches('/'),
        body.len()
    );
    exchange(socket, request.as_bytes()).await
}

pub(crate) async fn get(socket: &Path, target: &str) -> Answer {
    exchange(
        socket,
        format!("GET {target} HTTP/1.1\r\nhost: dstack\r\n\r\n").as_bytes(),
    )
    .await
}

/// Writes bytes and reads one response, within a time no working server needs.
pub(crate) async fn exchange(socket: &Path, request: &[u8]) -> Answer {
    let work = async {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(request).await;
        read_answer(&mut stream).await
    };
    tokio::time::timeout(Duration::from_secs(60), work).await.unwrap()
}

pub(crate) async fn read_answer(stream: &mut UnixStream) -> Answer {
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = parse(&bytes) {
            return answer;
        }
        let mut chunk = [0; 16 * 1024];
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        assert!(
            read > 0,
            "the connection ended in {:?}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.extend_from_slice(&chunk[..read]);
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec())
        .unwrap()
        .to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some(Answer { status, head, body })
}
