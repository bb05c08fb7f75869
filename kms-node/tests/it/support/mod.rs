//! A node with everything round it: simulated platform, collateral service, scripted chain, client.
#![allow(dead_code)]

pub mod client;
pub mod postgres;
pub mod script;

use authority_bridge::Clock;
use client::Client;
use kms_node::{Config, Deps, Node, RunningNode, StartError, store::Store};
use kms_types::{AppId, ComposeHash, HostConfigHash, InstanceSeed, KmsIdentity, UnixTime};
use kms_wire::EpochIdentity;
use script::Script;
use soft_td::{AppBoot, PlatformConfig, PlatformSeed, SimImage, SoftPlatform, SoftTd, finish_boot};
use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

pub const KEY_PROVIDER: &[u8] = br#"{"name":"test","id":"00"}"#;
pub const KMS_APP: AppId = AppId::new([0xcc; 20]);

pub fn install_crypto() {
    // Every test may be the first in its process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The machine's clock, moved.
#[derive(Default)]
pub struct TestClock(pub AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> UnixTime {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        UnixTime(now.saturating_add_signed(self.0.load(Ordering::Relaxed)))
    }
}

/// A collateral service on a free port.
pub struct Pcs {
    pub url: String,
    pub task: tokio::task::JoinHandle<()>,
}

impl Pcs {
    pub async fn start(platform: Arc<RwLock<SoftPlatform>>) -> Self {
        Self::serve(soft_td::pcs::router(platform, soft_td::pcs::system_clock())).await
    }

    pub async fn serve(router: axum::Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, task }
    }
}

pub struct World {
    pub folder: TempDir,
    pub platform: Arc<RwLock<SoftPlatform>>,
    pub image: SimImage,
    pub pcs: Pcs,
    pub script: Arc<Script>,
    pub clock: Arc<TestClock>,
    pub identity: EpochIdentity,
    pub config: Config,
    pub node: Option<RunningNode>,
    td: Arc<SoftTd>,
}

pub fn platform(name: &str) -> SoftPlatform {
    SoftPlatform::new(PlatformSeed::public(name), PlatformConfig::default()).unwrap()
}

pub fn app_boot(app: u8, instance: u8) -> AppBoot {
    AppBoot {
        app_id: AppId::new([app; 20]),
        compose_hash: ComposeHash::of(&[app]),
        instance_seed: Some(InstanceSeed::new([instance; 20])),
        host_config: HostConfigHash::new([7; 32]),
    }
}

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// A world whose node has these settings over the usual ones.
    pub async fn with(settings: &str) -> Self {
        install_crypto();
        let folder = TempDir::new().unwrap();
        let platform = Arc::new(RwLock::new(platform("node tests")));
        let image = SimImage::new("node tests").unwrap();
        let pcs = Pcs::start(Arc::clone(&platform)).await;
        let (td, seed) = own_td(&platform.read().unwrap(), &image);
        let proof = image.catalogue().proof(&td.config().measurement).unwrap();
        std::fs::write(folder.path().join("proof"), proof).unwrap();
        let config = config(&folder, &pcs.url, &seed, settings);
        let identity = kms_node::bootstrap(&config, &td).unwrap().identity;
        let script = Arc::new(Script::new(platform.read().unwrap().root(), &identity));
        let (clock, td) = (Arc::new(TestClock::default()), Arc::new(td));
        let mut world = Self {
            folder,
            platform,
            image,
            pcs,
            script,
            clock,
            identity,
            config,
            node: None,
            td,
        };
        world.run().await;
        world.until_ready().await;
        world
    }

    /// Starts the node (again).
    pub async fn run(&mut self) {
        self.node = Some(self.start_node(self.config.clone()).await.unwrap());
    }

    /// Starts a node with another configuration in this world's TD.
    pub async fn start_node(&self, config: Config) -> Result<RunningNode, StartError> {
        let store = self.store().await;
        let deps = Deps {
            td: Arc::clone(&self.td) as _,
            clock: Arc::clone(&self.clock) as _,
        };
        let authority = Arc::clone(&self.script) as _;
        Node::start_with(config, deps, store, authority).await
    }

    pub async fn stop(&mut self) {
        self.node.take().unwrap().shutdown().await;
    }

    pub async fn store(&self) -> Store {
        Store::open(&self.config.database.url, 4, Duration::from_secs(3))
            .await
            .unwrap()
    }

    pub async fn until_ready(&self) {
        let client = self.client();
        let end = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let response = client.get("/readyz").await;
            if response.status() == 200 {
                return;
            }
            let why = response.text().await.unwrap();
            assert!(std::time::Instant::now() < end, "not ready: {why}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn node(&self) -> &RunningNode {
        self.node.as_ref().unwrap()
    }

    pub fn kms_identity(&self) -> KmsIdentity {
        self.identity.kms_identity
    }

    pub fn client(&self) -> Client {
        Client::new(self.node().addr(), &self.identity)
    }

    /// A TD that booted an app up to where it asks for its keys.
    pub fn td(&self, boot: &AppBoot) -> SoftTd {
        let platform = self.platform.read().unwrap();
        boot.launch(&platform, self.image.measurement("small").unwrap())
            .unwrap()
    }

    pub fn image_proof(&self) -> Vec<u8> {
        self.image
            .catalogue()
            .proof(&self.image.measurement("small").unwrap())
            .unwrap()
    }
}

fn own_td(platform: &SoftPlatform, image: &SimImage) -> (SoftTd, InstanceSeed) {
    let seed = InstanceSeed::new([9; 20]);
    let boot = AppBoot {
        app_id: KMS_APP,
        compose_hash: ComposeHash::of(b"kms"),
        instance_seed: Some(seed),
        host_config: HostConfigHash::ZERO,
    };
    let td = boot
        .launch(platform, image.measurement("small").unwrap())
        .unwrap();
    finish_boot(&td, KEY_PROVIDER).unwrap();
    (td, seed)
}

fn config(folder: &TempDir, pcs: &str, seed: &InstanceSeed, settings: &str) -> Config {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut table: toml::Table = toml::from_str(&format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        names = ["127.0.0.1"]
        [chain]
        chain_id = 31337
        contract = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
        endpoints = [{{ http = "http://127.0.0.1:1" }}]
        development = true
        [collateral]
        pcs_url = "{pcs}"
        root_crl_url = ""
        cache_dir = "{}"
        [td]
        image_proof_file = "{}"
        instance_seed = "{seed}"
        [keys]
        root_file = "{}"
        [database]
        url = "sqlite:{}?mode=rwc"
        [limits]
        peer_per_s = 100000
        peer_burst = 100000
        device_per_s = 100000
        device_burst = 100000
        app_per_s = 100000
        app_burst = 100000
        "#,
        path("collateral"),
        path("proof"),
        path("root.json"),
        path("kms.db"),
    ))
    .unwrap();
    for (section, values) in toml::from_str::<toml::Table>(settings).unwrap() {
        let over = values.as_table().unwrap().clone();
        let under = table.entry(section).or_insert_with(|| toml::Table::new().into());
        under.as_table_mut().unwrap().extend(over);
    }
    Config::from_toml(&toml::to_string(&table).unwrap()).unwrap()
}
