//! Challenge, evidence and the sealed answer (`POST /v1/challenges`, `POST /v1/app-keys`).

use crate::{
    limits::{CHALLENGE_LEN, MAX_IMAGE_PROOF, MAX_QUOTE},
    log::LogPosition,
};
use kms_types::{
    Blob, BlockHash, ChainAddress, ChainId, DiskGeneration, EventLogEntry, InstanceSeed, KeyEpoch,
    ProvenBlock, UnixTime,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A fresh challenge. It is valid at the node that made it, once, until it expires.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeResponse {
    /// 64 bytes, opaque to the client.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub challenge: Blob<CHALLENGE_LEN>,
    /// When it stops being accepted.
    #[schema(value_type = u64)]
    pub expires_at: UnixTime,
    /// SHA-256 of the SubjectPublicKeyInfo of the KMS CA, for the report data. Compare it with the one recorded on-chain.
    #[schema(value_type = String)]
    pub kms_identity: kms_types::KmsIdentity,
}

/// What a TD shows about itself: the body of `POST /v1/app-keys` and `POST /v1/leases`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The challenge the quote was made over.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub challenge: Blob<CHALLENGE_LEN>,
    /// X25519 public key for HPKE, made for this request.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub hpke_public_key: Blob<32>,
    /// The quote.
    #[schema(value_type = String)]
    pub quote: Blob<MAX_QUOTE>,
    /// Events, at least those of RTMR3, in order.
    #[schema(value_type = Vec<Object>)]
    #[serde(deserialize_with = "crate::exact::event_log")]
    pub event_log: Vec<EventLogEntry>,
    /// Inclusion proof into the OS image's catalogue: u64 leaf count ‖ u64 leaf index ‖ hashes from leaf to root.
    #[schema(value_type = String)]
    pub image_proof: Blob<MAX_IMAGE_PROOF>,
    /// The VMM's description of the VM, as text. Bound into the report data, judged by nobody here.
    #[serde(deserialize_with = "crate::exact::vm_config")]
    pub vm_config: String,
    /// Seed the instance id was derived from; absent only when the app has no instance id. Checked against the measured
    /// `instance-id` event, so it needs no place in the report data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub instance_seed: Option<InstanceSeed>,
    /// Epoch asked for; the network's current one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub key_epoch: Option<KeyEpoch>,
    /// Generation of the instance's disk, its number from 1 to 2^63 - 1: only in evidence for a lease, of an app that requires
    /// `rollback = "detect"`. A part of the report data when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub disk_generation: Option<DiskGeneration>,
}

/// What was decided, about which record, at which blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The chain.
    #[schema(value_type = u64)]
    pub chain_id: ChainId,
    /// The authority contract that was asked.
    #[schema(value_type = String)]
    pub contract: ChainAddress,
    /// Newest head at which the record is allowed.
    #[schema(value_type = Object)]
    pub head: ProvenBlock,
    /// Finalized block at which it is allowed too.
    #[schema(value_type = Object)]
    pub finalized: ProvenBlock,
    /// Keccak-256 of the ABI encoding of the boot record.
    #[schema(value_type = String)]
    pub record_hash: BlockHash,
}

impl Decision {
    /// Fixed-size encoding: u64 chain id ‖ contract ‖ head ‖ finalized ‖ record hash; a block is u64 number ‖ hash ‖ state root ‖ u64 timestamp.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 20 + 2 * 80 + 32);
        out.extend_from_slice(&self.chain_id.0.to_be_bytes());
        out.extend_from_slice(self.contract.as_ref());
        for block in [&self.head, &self.finalized] {
            out.extend_from_slice(&block.number.to_be_bytes());
            out.extend_from_slice(block.hash.as_ref());
            out.extend_from_slice(block.state_root.as_ref());
            out.extend_from_slice(&block.timestamp.0.to_be_bytes());
        }
        out.extend_from_slice(self.record_hash.as_ref());
        out
    }
}

/// The sealed answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppKeysResponse {
    /// HPKE encapsulated key.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub enc: Blob<32>,
    /// HPKE ciphertext of [`AppKeys`](crate::AppKeys) in JSON.
    #[schema(value_type = String)]
    pub ciphertext: Blob<{ 64 * 1024 }>,
    /// Key epoch of the keys.
    #[schema(value_type = u32)]
    pub key_epoch: KeyEpoch,
    /// What allowed the release.
    pub decision: Decision,
    /// Where the release stands in the log.
    pub log: LogPosition,
    /// KMS k256 signature over the transcript: r ‖ s ‖ v, v ∈ {0, 1}.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub signature: Blob<65>,
}
