//! A chain, a network on it, an app that network allows, and a bridge that follows it.

use alloy::{
    node_bindings::{Anvil, AnvilInstance},
    primitives::Address,
    providers::Provider,
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use async_trait::async_trait;
use authority_bridge::{Bridge, BridgeConfig, BridgeError, ChainStatus, Clock, FloorError, HeightFloor};
use authority_contracts::{
    EpochIdentity,
    abi::{AppAuthority, KmsAuthority},
    deploy::{AppParams, DeployedNetwork, NetworkParams, Sender, connect, deploy_app, deploy_network},
};
use kms_types::{
    AppId, AttestationRoot, BlockRef, BootInfo, BootRecord, ChainAddress, ChainId, ComposeHash, DeviceId,
    Fmspc, HostConfigHash, InstanceId, KeyEpoch, KeyProviderHash, KmsIdentity, MrAggregated, MrSeam,
    MrSystem, OsImageHash, TcbStatus, TeeType, UnixTime,
};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Far longer than anything here takes; only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const COMPOSE: ComposeHash = ComposeHash::new([0xc0; 32]);

pub fn tool(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../contracts/node_modules/.bin")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing: run `npm ci` in contracts/",
        path.display()
    );
    path
}

/// The machine's clock, moved by some seconds.
#[derive(Default)]
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixTime {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        UnixTime(real.saturating_add_signed(self.0.load(Ordering::SeqCst)))
    }
}

/// A floor that outlives bridges, as a database does.
#[derive(Default)]
pub struct MemoryFloor {
    pub block: Mutex<Option<BlockRef>>,
    pub broken: Mutex<bool>,
}

#[async_trait]
impl HeightFloor for MemoryFloor {
    async fn load(&self) -> Result<Option<BlockRef>, FloorError> {
        Ok(*self.block.lock().unwrap())
    }
    async fn raise(&self, block: BlockRef) -> Result<(), FloorError> {
        if *self.broken.lock().unwrap() {
            return Err(FloorError("disk full".to_owned()));
        }
        let mut stored = self.block.lock().unwrap();
        if stored.is_none_or(|old| old.number < block.number) {
            *stored = Some(block);
        }
        Ok(())
    }
}

pub struct Net {
    pub anvil: AnvilInstance,
    pub owner: Sender,
    pub network: DeployedNetwork,
    pub app: AppId,
    pub clock: Arc<TestClock>,
    pub floor: Arc<MemoryFloor>,
}

impl Net {
    /// Finalized is two blocks behind the head.
    pub async fn start() -> Self {
        Self::start_with_epoch(1).await
    }

    /// Finalized is `2 * slots` blocks behind the head.
    pub async fn start_with_epoch(slots: u64) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let slots = slots.to_string();
        let anvil = Anvil::at(tool("anvil"))
            // Anvil keeps older states on disk, where a reorganisation loses them.
            .args(["--slots-in-an-epoch", &slots, "--prune-history", "500"])
            .try_spawn()
            .unwrap();
        let key = PrivateKeySigner::from(anvil.first_key().clone());
        let owner = connect(&anvil.endpoint(), key).await.unwrap();
        let network = deploy_network(&owner, &params()).await.unwrap();
        let app = AppParams {
            compose_hash: Some(COMPOSE),
            allow_any_device: true,
            ..AppParams::default()
        };
        let app = deploy_app(&owner, network.kms_authority, &app)
            .await
            .unwrap()
            .app_id;
        Self {
            anvil,
            owner,
            network,
            app,
            clock: Arc::default(),
            floor: Arc::default(),
        }
    }

    /// As [`Net::start`], with everything already final.
    pub async fn settled() -> Self {
        let net = Self::start().await;
        net.mine(3).await;
        net
    }

    pub fn config(&self) -> BridgeConfig {
        let contract = self.network.kms_authority;
        BridgeConfig {
            poll_interval: Duration::from_millis(25),
            development: true,
            ..BridgeConfig::new(ChainId(31337), contract, vec![self.anvil.endpoint_url().into()])
        }
    }

    pub async fn bridge(&self) -> Bridge {
        self.bridge_with(self.config()).await.unwrap()
    }

    pub async fn bridge_with(&self, config: BridgeConfig) -> Result<Bridge, BridgeError> {
        let (floor, clock) = (Arc::clone(&self.floor), Arc::clone(&self.clock));
        Bridge::start(config, floor, clock).await
    }

    pub async fn mine(&self, blocks: u64) {
        self.raw("anvil_mine", serde_json::json!([format!("{blocks:#x}")]))
            .await;
    }

    pub async fn raw(&self, method: &'static str, params: serde_json::Value) -> serde_json::Value {
        self.owner
            .provider()
            .raw_request(method.into(), params)
            .await
            .unwrap()
    }

    pub async fn height(&self) -> u64 {
        self.owner.provider().get_block_number().await.unwrap()
    }

    pub async fn kms<C: SolCall>(&self, call: C) {
        self.owner
            .send("test", self.network.kms_authority, &call)
            .await
            .unwrap();
    }

    pub async fn app<C: SolCall>(&self, call: C) {
        self.owner
            .send("test", ChainAddress::new(self.app.to_bytes()), &call)
            .await
            .unwrap();
    }

    pub async fn allow_compose(&self, hash: ComposeHash) {
        self.app(AppAuthority::addComposeHashCall {
            composeHash: hash.to_bytes().into(),
        })
        .await;
    }

    pub async fn revoke_compose(&self, hash: ComposeHash) {
        self.app(AppAuthority::removeComposeHashCall {
            composeHash: hash.to_bytes().into(),
        })
        .await;
    }

    pub async fn pause_releases(&self) {
        self.kms(KmsAuthority::setReleasePausedCall { paused: true })
            .await;
    }

    pub fn record(&self) -> BootRecord {
        record(self.app)
    }

    pub fn contract(&self) -> Address {
        Address::new(self.network.kms_authority.to_bytes())
    }

    /// Waits until the bridge follows the chain's present head.
    pub async fn caught_up(&self, bridge: &Bridge) {
        let height = self.height().await;
        until(bridge, |status| {
            status.head.is_some_and(|head| head.number >= height)
        })
        .await;
    }
}

/// Waits for a state of the follower.
pub async fn until(bridge: &Bridge, condition: impl Fn(&ChainStatus) -> bool) -> ChainStatus {
    let mut changes = bridge.changes();
    let reached = tokio::time::timeout(PATIENCE, changes.wait_for(&condition)).await;
    match reached {
        Ok(status) => status.unwrap().clone(),
        Err(_) => panic!("not reached: {:?}", bridge.status()),
    }
}

pub fn params() -> NetworkParams {
    NetworkParams {
        attestation_roots: vec![AttestationRoot::new([0xa1; 32])],
        os_images: vec![OsImageHash::new([0x05; 32])],
        min_tcb_evaluation_data_number: 17,
        min_tdx_module_svn: 5,
        kms_app: Some(AppParams {
            compose_hash: Some(ComposeHash::new([0xcc; 32])),
            allow_any_device: true,
            ..AppParams::default()
        }),
        identity: Some(EpochIdentity {
            k256_pubkey: [2; 33],
            ca: KmsIdentity::new([3; 32]),
            hpke_key: [4; 32],
        }),
        gateway_app_id: "any".to_owned(),
        ..NetworkParams::default()
    }
}

pub fn record(app_id: AppId) -> BootRecord {
    BootRecord {
        info: BootInfo {
            app_id,
            compose_hash: COMPOSE,
            instance_id: InstanceId::new([0x11; 20]),
            device_id: DeviceId::new([0xde; 32]),
            mr_aggregated: MrAggregated::new([0x31; 32]),
            mr_system: MrSystem::new([0x32; 32]),
            os_image_hash: OsImageHash::new([0x05; 32]),
            tcb_status: TcbStatus::UpToDate,
            advisory_ids: Vec::new(),
        },
        attestation_root: AttestationRoot::new([0xa1; 32]),
        tee_type: TeeType::TDX,
        mr_seam: MrSeam::new([0x5e; 48]),
        tdx_module_version: 1,
        tdx_module_svn: 6,
        fmspc: Fmspc::new([0x90, 0xc0, 0x6f, 0, 0, 0]),
        tcb_evaluation_data_number: 18,
        tcb_date: UnixTime(1_700_000_000),
        key_provider_hash: KeyProviderHash::ZERO,
        host_config_hash: HostConfigHash::new([0x4c; 32]),
        key_epoch: KeyEpoch::FIRST,
    }
}

/// The reason of a denial.
pub fn reason(decided: &authority_bridge::Decided) -> &str {
    match &decided.verdict {
        authority_bridge::Verdict::Allowed => "",
        authority_bridge::Verdict::Denied { reason } => reason,
    }
}
