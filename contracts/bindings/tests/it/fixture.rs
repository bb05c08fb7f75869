//! A chain, a network on it, and a record that network allows.

use alloy::node_bindings::{Anvil, AnvilInstance};
use alloy::signers::local::PrivateKeySigner;
use authority_contracts::deploy::{
    AppParams, DeployedNetwork, NetworkParams, Sender, connect, deploy_network,
};
use authority_contracts::{Answer, EpochIdentity};
use kms_types::{
    AppId, AttestationRoot, BootInfo, BootRecord, ComposeHash, DeviceId, Fmspc, HostConfigHash, InstanceId,
    KeyEpoch, KeyProviderHash, KmsIdentity, MrAggregated, MrSeam, MrSystem, OsImageHash, TcbStatus, TeeType,
    UnixTime,
};
use std::path::PathBuf;

pub(crate) fn tool(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../node_modules/.bin")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing: run `npm ci` in contracts/",
        path.display()
    );
    path
}

pub(crate) struct Chain {
    pub(crate) anvil: AnvilInstance,
    pub(crate) owner: Sender,
}

impl Chain {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let anvil = Anvil::at(tool("anvil")).try_spawn().unwrap();
        let owner = sender(&anvil, 0).await;
        Self { anvil, owner }
    }

    pub(crate) async fn stranger(&self) -> Sender {
        sender(&self.anvil, 1).await
    }
}

async fn sender(anvil: &AnvilInstance, index: usize) -> Sender {
    let key = PrivateKeySigner::from(anvil.keys()[index].clone());
    connect(&anvil.endpoint(), key).await.unwrap()
}

pub(crate) fn identity() -> EpochIdentity {
    EpochIdentity {
        k256_pubkey: [2; 33],
        ca: KmsIdentity::new([3; 32]),
        hpke_key: [4; 32],
    }
}

pub(crate) fn params() -> NetworkParams {
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
        identity: Some(identity()),
        gateway_app_id: "0x00".to_owned(),
        ..NetworkParams::default()
    }
}

pub(crate) async fn network(chain: &Chain) -> DeployedNetwork {
    deploy_network(&chain.owner, &params()).await.unwrap()
}

pub(crate) fn record(app_id: AppId) -> BootRecord {
    BootRecord {
        info: BootInfo {
            app_id,
            compose_hash: ComposeHash::new([0xc0; 32]),
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

pub(crate) fn reason(answer: &Answer) -> &str {
    match answer {
        Answer::Allowed => "",
        Answer::Denied(denial) => denial.reason(),
    }
}
