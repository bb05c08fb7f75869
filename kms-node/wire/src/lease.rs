//! Leases (`POST /v1/leases`): signed proof, checkable offline, that an app was allowed a moment ago.

use crate::{Blob, log::LogPosition, release::Decision};
use kms_types::{AppId, ComposeHash, DeviceId, InstanceId, KeyEpoch, OsImageHash, UnixTime};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer to a lease request; the request body is [`Evidence`](crate::Evidence), made after `system-ready`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseResponse {
    /// Compact JWS (RFC 7515), ES256K, payload [`LeaseClaims`].
    pub lease: String,
    /// When it ends.
    #[schema(value_type = u64)]
    pub expires_at: UnixTime,
    /// What allowed it.
    pub decision: Decision,
    /// Where it stands in the log.
    pub log: LogPosition,
    /// KMS k256 signature over the transcript.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub signature: Blob<65>,
}

/// Payload of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseClaims {
    /// KMS identity.
    pub iss: String,
    /// The app.
    pub sub: AppId,
    /// Not valid before.
    pub nbf: UnixTime,
    /// Not valid from.
    pub exp: UnixTime,
    /// The instance.
    pub instance_id: InstanceId,
    /// Its compose document.
    pub compose_hash: ComposeHash,
    /// Its OS image.
    pub os_image_hash: OsImageHash,
    /// Its platform.
    pub device_id: DeviceId,
    /// Current epoch.
    pub key_epoch: KeyEpoch,
    /// Head at which it was allowed.
    pub block: kms_types::BlockRef,
    /// Key the holder proves to have: the HPKE key of the evidence.
    #[serde(deserialize_with = "crate::exact::blob")]
    pub cnf: Blob<32>,
}
