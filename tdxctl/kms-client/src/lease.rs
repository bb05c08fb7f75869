//! One request for a lease, and what must hold of it: the KMS signed it over this request, and it is about this guest.
//!
//! How long it lasts is its own length, `exp` − `nbf`: the guest's wall clock is the host's to set and is not asked.

use crate::{
    Described, Guest, Kms, RequestError,
    answer::{check_decision, check_log, equal, equal_debug, signature},
    session::Session,
};
use kms_keys::{OpeningKey, verify_jws_es256k, verify_prehash};
use kms_types::{DiskGeneration, ReportData, ReportTag};
use kms_wire::{LeaseClaims, LeaseResponse, LeaseTranscript, ReleaseKind};
use reqwest::Url;
use std::time::Duration;
use td_quote::Td;

/// A lease that holds.
pub struct Lease {
    /// The answer, with the token to show to others.
    pub response: LeaseResponse,
    /// What the token says.
    pub claims: LeaseClaims,
    /// The key it is bound to (`cnf`).
    pub key: OpeningKey,
}

impl Lease {
    /// How long it lasts from the moment it was made.
    pub fn length(&self) -> Duration {
        Duration::from_secs(self.claims.exp.0.saturating_sub(self.claims.nbf.0))
    }
}

/// Asks one node of the pinned KMS for a lease. The guest must have recorded `system-ready`.
///
/// # Errors
/// When the TD, the connection, the KMS or the answer gives a reason to have none.
pub async fn request_lease(
    url: &Url,
    kms: &Kms,
    guest: &Guest,
    described: &Described,
    td: &dyn Td,
) -> Result<Lease, RequestError> {
    let session = Session::open(url, kms).await?;
    let key = OpeningKey::generate(&mut rand::rng())?;
    let described = kms.in_epoch(described);
    let (evidence, report_data) =
        guest.running_evidence(td, ReportTag::Lease, &session.challenge, key.public(), &described)?;
    let response: LeaseResponse = session.client.post("lease", "v1/leases", &evidence).await?;
    let generation = described.disk_generation;
    let claims = check(&response, &report_data, guest, kms, key.public(), generation)?;
    Ok(Lease {
        response,
        claims,
        key,
    })
}

fn check(
    answer: &LeaseResponse,
    report_data: &ReportData,
    guest: &Guest,
    kms: &Kms,
    holder: &[u8; 32],
    generation: Option<DiskGeneration>,
) -> Result<LeaseClaims, RequestError> {
    let pin = &kms.pin;
    let digest = LeaseTranscript::digest(report_data, answer);
    // G3: a lease of somebody else, or an old one, would keep an app running that the contract no longer allows.
    verify_prehash(&pin.k256_public_key, &digest, answer.signature.as_bytes())
        .map_err(signature("signature of the KMS"))?;
    let payload =
        verify_jws_es256k(&answer.lease, &pin.k256_public_key).map_err(|error| RequestError::Answer {
            what: "lease",
            expected: "a token signed by the KMS".to_owned(),
            actual: error.to_string(),
        })?;
    let claims: LeaseClaims = serde_json::from_slice(&payload).map_err(|error| RequestError::Answer {
        what: "lease",
        expected: "the claims of one".to_owned(),
        actual: error.to_string(),
    })?;
    // G4: a number the KMS did not take down is one it does not hold against an older disk.
    equal_debug(
        "disk generation of the log entry",
        &generation,
        &answer.log.entry.disk_generation,
    )?;
    check_claims(&claims, answer, guest, kms, holder)?;
    check_decision(&answer.decision, &kms.network)?;
    let head = &answer.decision.head;
    check_log(
        &answer.log,
        ReleaseKind::Lease,
        claims.key_epoch,
        head,
        guest,
        pin,
    )?;
    Ok(claims)
}

fn check_claims(
    claims: &LeaseClaims,
    answer: &LeaseResponse,
    guest: &Guest,
    kms: &Kms,
    holder: &[u8; 32],
) -> Result<(), RequestError> {
    let (pin, entry) = (&kms.pin, &answer.log.entry);
    // G3: those who check it offline believe every claim; one about another app or key is not this app's to show.
    equal(
        "issuer of the lease",
        pin.kms_identity.to_string(),
        claims.iss.clone(),
    )?;
    equal_debug("app of the lease", &guest.app_id, &Some(claims.sub))?;
    equal("instance of the lease", guest.instance_id, claims.instance_id)?;
    equal_debug(
        "compose hash of the lease",
        &guest.compose_hash,
        &Some(claims.compose_hash),
    )?;
    equal_debug("holder of the lease", &holder.as_slice(), &claims.cnf.as_bytes())?;
    equal("end of the lease", answer.expires_at, claims.exp)?;
    equal(
        "block of the lease",
        answer.decision.head.block_ref(),
        claims.block,
    )?;
    equal("OS image of the lease", entry.os_image_hash, claims.os_image_hash)?;
    equal("platform of the lease", entry.device_id, claims.device_id)?;
    if let Some(epoch) = pin.key_epoch {
        equal("key epoch of the lease", epoch, claims.key_epoch)?;
    }
    if claims.exp <= claims.nbf {
        return Err(RequestError::Answer {
            what: "end of the lease",
            expected: format!("after its start, {}", claims.nbf),
            actual: claims.exp.to_string(),
        });
    }
    Ok(())
}
