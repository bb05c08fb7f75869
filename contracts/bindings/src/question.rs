//! Call data of the questions a KMS node asks. Pure: who is asked, and over which state, is the caller's matter.

use crate::abi::KmsAuthority;
use alloy_sol_types::SolCall;
use kms_types::{BootInfo, BootRecord, KeyEpoch};

/// `isAppAllowedV2(record)`.
pub fn is_app_allowed(record: &BootRecord) -> Vec<u8> {
    KmsAuthority::isAppAllowedV2Call {
        record: record.into(),
    }
    .abi_encode()
}

/// `isKmsAllowedV2(record)`.
pub fn is_kms_allowed(record: &BootRecord) -> Vec<u8> {
    KmsAuthority::isKmsAllowedV2Call {
        record: record.into(),
    }
    .abi_encode()
}

/// `isAppAllowed(bootInfo)`, for authorities and callers of version 1.
pub fn is_app_allowed_v1(info: &BootInfo) -> Vec<u8> {
    KmsAuthority::isAppAllowedCall {
        bootInfo: info.into(),
    }
    .abi_encode()
}

/// `isKmsAllowed(bootInfo)`, for callers of version 1.
pub fn is_kms_allowed_v1(info: &BootInfo) -> Vec<u8> {
    KmsAuthority::isKmsAllowedCall {
        bootInfo: info.into(),
    }
    .abi_encode()
}

/// `networkState()`.
pub fn network_state() -> Vec<u8> {
    KmsAuthority::networkStateCall {}.abi_encode()
}

/// `kmsIdentity(epoch)`.
pub fn kms_identity(epoch: KeyEpoch) -> Vec<u8> {
    KmsAuthority::kmsIdentityCall { epoch: epoch.0 }.abi_encode()
}

/// The ABI form of a record, for callers that encode it themselves.
pub fn abi_record(record: &BootRecord) -> KmsAuthority::BootRecord {
    record.into()
}

/// The ABI form of what version 1 knows, for callers that encode it themselves.
pub fn abi_info(info: &BootInfo) -> KmsAuthority::AppBootInfo {
    info.into()
}
