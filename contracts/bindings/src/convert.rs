//! Boot records from Rust to the ABI. The way back does not exist: a record is made from verified evidence only. TCB statuses
//! are the numbers of the Solidity enum.

use crate::abi::KmsAuthority;
use alloy_primitives::{Address, Bytes, FixedBytes};
use kms_types::{BootInfo, BootRecord, TcbStatus};

impl From<&BootInfo> for KmsAuthority::AppBootInfo {
    fn from(info: &BootInfo) -> Self {
        Self {
            appId: Address::from(info.app_id.to_bytes()),
            composeHash: FixedBytes(info.compose_hash.to_bytes()),
            instanceId: Address::from(info.instance_id.to_bytes()),
            deviceId: FixedBytes(info.device_id.to_bytes()),
            mrAggregated: FixedBytes(info.mr_aggregated.to_bytes()),
            mrSystem: FixedBytes(info.mr_system.to_bytes()),
            osImageHash: FixedBytes(info.os_image_hash.to_bytes()),
            tcbStatus: info.tcb_status.as_str().to_owned(),
            advisoryIds: info.advisory_ids.clone(),
        }
    }
}

impl From<&BootRecord> for KmsAuthority::BootRecord {
    fn from(record: &BootRecord) -> Self {
        Self {
            info: (&record.info).into(),
            attestationRoot: FixedBytes(record.attestation_root.to_bytes()),
            teeType: record.tee_type.0,
            mrSeam: Bytes::copy_from_slice(record.mr_seam.as_bytes()),
            tdxModuleVersion: record.tdx_module_version,
            tdxModuleSvn: record.tdx_module_svn,
            fmspc: FixedBytes(record.fmspc.to_bytes()),
            tcbEvaluationDataNumber: record.tcb_evaluation_data_number,
            tcbDate: record.tcb_date.0,
            keyProviderHash: FixedBytes(record.key_provider_hash.to_bytes()),
            hostConfigHash: FixedBytes(record.host_config_hash.to_bytes()),
            keyEpoch: record.key_epoch.0,
        }
    }
}

/// The status's number in the contracts' enum, as `allowTcbStatus` takes it and `tcbPolicy` sets its bit.
pub const fn tcb_status_code(status: TcbStatus) -> u8 {
    match status {
        TcbStatus::UpToDate => 0,
        TcbStatus::SWHardeningNeeded => 1,
        TcbStatus::ConfigurationNeeded => 2,
        TcbStatus::ConfigurationAndSWHardeningNeeded => 3,
        TcbStatus::TDRelaunchAdvised => 4,
        TcbStatus::TDRelaunchAdvisedConfigurationNeeded => 5,
        TcbStatus::OutOfDate => 6,
        TcbStatus::OutOfDateConfigurationNeeded => 7,
        TcbStatus::Revoked => 8,
    }
}
