//! Public facts about a KMS (`GET /v1/meta`, `GET /v1/apps/{id}/env-public-key`).

use crate::SignedTreeHead;
use kms_types::Blob;
use kms_types::{AppId, ChainAddress, ChainId, KeyEpoch, KmsIdentity, ProvenBlock, UnixTime};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Public identity of one epoch. What counts is the copy recorded on-chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EpochIdentity {
    /// The epoch.
    #[schema(value_type = u32)]
    pub key_epoch: KeyEpoch,
    /// SHA-256 of the CA's SubjectPublicKeyInfo.
    #[schema(value_type = String)]
    pub kms_identity: KmsIdentity,
    /// Compressed secp256k1 public key (SEC 1).
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub k256_public_key: Blob<33>,
    /// X25519 public key.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub hpke_public_key: Blob<32>,
    /// Ed25519 public key of the release log.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub log_public_key: Blob<32>,
    /// Certificate of the CA, PEM.
    pub ca_certificate: String,
}

/// Public facts about this node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Version of the software.
    pub version: String,
    /// The chain it answers to.
    #[schema(value_type = u64)]
    pub chain_id: ChainId,
    /// The authority contract it answers to.
    #[schema(value_type = String)]
    pub kms_authority: ChainAddress,
    /// Every live epoch, newest first.
    pub epochs: Vec<EpochIdentity>,
    /// Newest head the node has proven, absent before the first.
    #[schema(value_type = Option<Object>)]
    pub head: Option<ProvenBlock>,
    /// Newest finalized block.
    #[schema(value_type = Option<Object>)]
    pub finalized: Option<ProvenBlock>,
    /// Head of the release log, absent while it is empty.
    pub tree_head: Option<SignedTreeHead>,
    /// True when the node is set up for a development network.
    pub development: bool,
}

/// Key that app owners encrypt the environment to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvPublicKey {
    /// The app.
    #[schema(value_type = String)]
    pub app_id: AppId,
    /// Epoch of the key.
    #[schema(value_type = u32)]
    pub key_epoch: KeyEpoch,
    /// X25519 public key.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub public_key: Blob<32>,
    /// When it was signed.
    #[schema(value_type = u64)]
    pub time: UnixTime,
    /// r ‖ s ‖ v over keccak256("dstack-env-encrypt-pubkey" ‖ ":" ‖ AppId ‖ u64 BE time ‖ public key).
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub signature: Blob<65>,
    /// The legacy form, without time.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub legacy_signature: Blob<65>,
}
