//! Revert data in words. Data of an unknown error is shown in hex, never guessed at.

use crate::abi::AppAuthority::AppAuthorityErrors;
use crate::abi::ERC1967Proxy::ERC1967ProxyErrors;
use crate::abi::KmsAuthority::KmsAuthorityErrors;
use crate::abi::TimelockController::TimelockControllerErrors;
use alloy_primitives::hex;
use alloy_sol_types::{GenericContractError, SolInterface};
use std::fmt::Debug;

/// Longest revert data that is shown.
const MAX_SHOWN: usize = 1024;

/// Names the error in a transaction's revert data, with its values.
pub fn explain_revert(data: &[u8]) -> String {
    if data.is_empty() {
        return "reverted without a reason".to_owned();
    }
    let Some(data) = data.get(..data.len().min(MAX_SHOWN)) else {
        return "reverted".to_owned();
    };
    known::<KmsAuthorityErrors>(data)
        .or_else(|| known::<AppAuthorityErrors>(data))
        .or_else(|| known::<ERC1967ProxyErrors>(data))
        .or_else(|| known::<TimelockControllerErrors>(data))
        .or_else(|| generic(data))
        .unwrap_or_else(|| format!("reverted with unknown error {}", hex::encode_prefixed(data)))
}

fn known<E: SolInterface + Debug>(data: &[u8]) -> Option<String> {
    let error = E::abi_decode_validate(data).ok()?;
    // The generated enum prints its variant's name before the struct of the same name.
    let text = format!("{error:?}");
    let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    Some(inner.unwrap_or(&text).to_owned())
}

fn generic(data: &[u8]) -> Option<String> {
    match GenericContractError::abi_decode_validate(data).ok()? {
        GenericContractError::Revert(revert) => Some(revert.reason),
        GenericContractError::Panic(panic) => Some(panic.to_string()),
    }
}
