//! The boot record: everything a contract is asked about one booted TD. Solidity holds the twin definition; a parity
//! test in the contract bindings ties them.

use crate::{
    AppId, AttestationRoot, ComposeHash, DeviceId, Fmspc, HostConfigHash, InstanceId, KeyEpoch,
    KeyProviderHash, MrAggregated, MrSeam, MrSystem, OsImageHash, TcbStatus, UnixTime,
};
use serde::{Deserialize, Serialize};

/// Kind of trusted execution environment, as the quote header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TeeType(pub u32);

impl TeeType {
    /// Intel TDX (Intel TDX DCAP Quoting Library API, quote header).
    pub const TDX: Self = Self(0x81);
}

/// `AppBootInfo` of the contract ABI, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootInfo {
    /// The app.
    pub app_id: AppId,
    /// Its compose document.
    pub compose_hash: ComposeHash,
    /// Its instance; zero when the app has no instance id.
    pub instance_id: InstanceId,
    /// The platform it runs on.
    pub device_id: DeviceId,
    /// All registers.
    pub mr_aggregated: MrAggregated,
    /// Registers of the OS and the key provider.
    pub mr_system: MrSystem,
    /// The OS image.
    pub os_image_hash: OsImageHash,
    /// TCB status after merging.
    pub tcb_status: TcbStatus,
    /// Advisories that apply at that status, sorted, without repeats.
    pub advisory_ids: Vec<String>,
}

/// `BootRecord` of the contract ABI, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootRecord {
    /// The part old contracts know.
    pub info: BootInfo,
    /// Root the quote's certificates lead to.
    pub attestation_root: AttestationRoot,
    /// Kind of TEE.
    pub tee_type: TeeType,
    /// Measurement of the TDX module.
    pub mr_seam: MrSeam,
    /// Major version of the TDX module (TEE_TCB_SVN byte 1).
    pub tdx_module_version: u8,
    /// Security version of the TDX module (TEE_TCB_SVN byte 0).
    pub tdx_module_svn: u8,
    /// Platform family.
    pub fmspc: Fmspc,
    /// Lower of the TCB evaluation data numbers of TCB info and QE identity.
    pub tcb_evaluation_data_number: u32,
    /// Date of the matched TCB level.
    pub tcb_date: UnixTime,
    /// Hash of the key-provider event; zero before it.
    pub key_provider_hash: KeyProviderHash,
    /// Payload of the host-config event; zero when absent.
    pub host_config_hash: HostConfigHash,
    /// Key epoch that is asked for.
    pub key_epoch: KeyEpoch,
}
