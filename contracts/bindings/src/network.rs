//! What a KMS node reads of its network in every block. Lengths of lists and keys are checked; a value that a
//! contract of ours cannot hold is refused.

use crate::abi::KmsAuthority;
use alloy_sol_types::SolCall;
use kms_types::{AppId, AttestationRoot, KeyEpoch, KmsIdentity};

/// Most bytes of return data that are looked at.
pub const MAX_NETWORK_STATE: usize = 16 * 1024;

/// Compressed secp256k1 public key.
pub const K256_PUBKEY_LEN: usize = 33;

/// Public identity of the KMS in one key epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochIdentity {
    /// Compressed secp256k1 public key that signs for app keys.
    pub k256_pubkey: [u8; K256_PUBKEY_LEN],
    /// The KMS CA.
    pub ca: KmsIdentity,
    /// X25519 public key for HPKE.
    pub hpke_key: [u8; 32],
}

/// State of a network at one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkState {
    /// Roots quotes may lead to; without any, nothing is allowed.
    pub attestation_roots: Vec<AttestationRoot>,
    /// Newest key epoch, or none before the first.
    pub key_epoch: Option<KeyEpoch>,
    /// Least epoch whose keys are released.
    pub min_key_epoch: KeyEpoch,
    /// Whether every release is stopped.
    pub release_paused: bool,
    /// The app whose instances are the network's nodes.
    pub kms_app_id: Option<AppId>,
    /// The gateway's app id as its owner wrote it.
    pub gateway_app_id: String,
    /// Least evaluation data number of collateral.
    pub min_tcb_evaluation_data_number: u32,
    /// Public identity in the newest epoch.
    pub identity: Option<EpochIdentity>,
}

/// Return data that is not a network's state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NetworkStateError {
    /// Larger than any state of ours.
    #[error("network state: expected at most {MAX_NETWORK_STATE} bytes, got {actual}")]
    Size {
        /// Bytes that came.
        actual: usize,
    },
    /// Not the ABI encoding of the structure.
    #[error("network state: not the ABI encoding of the structure")]
    Abi(#[source] alloy_sol_types::Error),
    /// The k256 key has another length than such keys have.
    #[error("network state: k256 public key: expected {K256_PUBKEY_LEN} bytes, got {actual}")]
    K256Length {
        /// Bytes that came.
        actual: usize,
    },
}

/// Reads return data of `networkState()`.
///
/// # Errors
/// When it is too large, not the structure's encoding, or holds a key of the wrong length.
pub fn decode_network_state(data: &[u8]) -> Result<NetworkState, NetworkStateError> {
    let state = KmsAuthority::networkStateCall::abi_decode_returns_validate(bounded(data)?)
        .map_err(NetworkStateError::Abi)?;
    Ok(NetworkState {
        attestation_roots: state
            .attestationRoots
            .iter()
            .map(|root| AttestationRoot::new(root.0))
            .collect(),
        key_epoch: (state.keyEpoch != 0).then_some(KeyEpoch(state.keyEpoch)),
        min_key_epoch: KeyEpoch(state.minKeyEpoch),
        release_paused: state.releasePaused,
        kms_app_id: Some(AppId::new(state.kmsAppId.into_array())).filter(|id| !id.is_zero()),
        gateway_app_id: state.gatewayAppId,
        min_tcb_evaluation_data_number: state.minTcbEvaluationDataNumber,
        identity: epoch_identity(&state.identity)?,
    })
}

/// Reads return data of `kmsIdentity(epoch)`; an epoch that was not recorded has none.
///
/// # Errors
/// As [`decode_network_state`].
pub fn decode_kms_identity(data: &[u8]) -> Result<Option<EpochIdentity>, NetworkStateError> {
    let identity = KmsAuthority::kmsIdentityCall::abi_decode_returns_validate(bounded(data)?)
        .map_err(NetworkStateError::Abi)?;
    epoch_identity(&identity)
}

fn bounded(data: &[u8]) -> Result<&[u8], NetworkStateError> {
    if data.len() > MAX_NETWORK_STATE {
        return Err(NetworkStateError::Size { actual: data.len() });
    }
    Ok(data)
}

fn epoch_identity(identity: &KmsAuthority::KmsIdentity) -> Result<Option<EpochIdentity>, NetworkStateError> {
    if identity.k256Pubkey.is_empty() {
        return Ok(None);
    }
    let k256_pubkey = <[u8; K256_PUBKEY_LEN]>::try_from(identity.k256Pubkey.as_ref()).map_err(|_| {
        NetworkStateError::K256Length {
            actual: identity.k256Pubkey.len(),
        }
    })?;
    Ok(Some(EpochIdentity {
        k256_pubkey,
        ca: KmsIdentity::new(identity.caSpkiHash.0),
        hpke_key: identity.hpkeKey.0,
    }))
}

impl From<&EpochIdentity> for KmsAuthority::KmsIdentity {
    fn from(identity: &EpochIdentity) -> Self {
        Self {
            k256Pubkey: identity.k256_pubkey.to_vec().into(),
            caSpkiHash: identity.ca.to_bytes().into(),
            hpkeKey: identity.hpke_key.into(),
        }
    }
}
