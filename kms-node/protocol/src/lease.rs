//! Leases: short, signed, checkable offline, bound to a key inside the quote.

use crate::{Refusal, VerifiedEvidence};
use kms_types::{Blob, UnixTime};
use kms_wire::{Decision, LeaseClaims, LeaseResponse, LeaseTranscript, LogPosition};

/// Makes the lease and signs the transcript.
///
/// # Errors
/// When a key operation fails.
pub fn lease(
    evidence: &VerifiedEvidence,
    decision: Decision,
    log: LogPosition,
    now: UnixTime,
    seconds: u64,
) -> Result<LeaseResponse, Refusal> {
    let (keys, record) = (evidence.keys(), evidence.record());
    let public = keys.identity();
    let expires_at = UnixTime(now.0.saturating_add(seconds));
    let claims = LeaseClaims {
        iss: public.kms_identity.to_string(),
        sub: record.info.app_id,
        nbf: now,
        exp: expires_at,
        instance_id: record.info.instance_id,
        compose_hash: record.info.compose_hash,
        os_image_hash: record.info.os_image_hash,
        device_id: record.info.device_id,
        key_epoch: public.key_epoch,
        block: decision.head.block_ref(),
        cnf: Blob::new(evidence.recipient().to_vec()).map_err(|_| Refusal::Sealing { limit: 32 })?,
    };
    let payload = serde_json::to_vec(&claims).map_err(|_| Refusal::Sealing { limit: 0 })?;
    let mut answer = LeaseResponse {
        lease: keys.sign_jws_es256k(&payload)?,
        expires_at,
        decision,
        log,
        signature: Blob::default(),
    };
    let digest = LeaseTranscript::digest(evidence.report_data(), &answer);
    answer.signature =
        Blob::new(keys.sign_prehash(&digest)?.to_vec()).map_err(|_| Refusal::Sealing { limit: 65 })?;
    Ok(answer)
}
