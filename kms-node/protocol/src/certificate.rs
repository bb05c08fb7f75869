//! Certificates under an app's CA. The quote carries the hash of the request, so nobody else's key is certified.

use crate::{Refusal, VerifiedEvidence};
use kms_keys::{LeafRequest, Validity, app_domain, instance_domain};
use kms_types::UnixTime;
use kms_wire::{CertificateRequest, CertificateResponse, Decision, LogPosition};
use sha2::{Digest, Sha256};

/// Clocks of those who check may be behind by this much.
const BACKDATED_S: u64 = 60;

/// Checks that the evidence names this request's hash in the place of an HPKE key.
///
/// # Errors
/// When it names another.
pub fn check_request(request: &CertificateRequest) -> Result<(), Refusal> {
    let expected: [u8; 32] = Sha256::digest(request.csr.as_bytes()).into();
    let actual = request.evidence.hpke_public_key.as_bytes();
    // K1: without this a quote over one key would certify another.
    if actual == expected {
        return Ok(());
    }
    Err(Refusal::Malformed {
        what: "evidence.hpke_public_key",
        expected: format!("SHA-256 of the csr, 0x{}", hex(&expected)),
        actual: format!("0x{}", hex(actual)),
    })
}

/// Issues the chain. The position is asked for so that none is issued before the log has it.
///
/// # Errors
/// When the request asks for what the app may not have.
pub fn certificate(
    evidence: &VerifiedEvidence,
    request: &CertificateRequest,
    decision: Decision,
    _log: &LogPosition,
    now: UnixTime,
    seconds: u64,
) -> Result<CertificateResponse, Refusal> {
    let info = &evidence.record().info;
    let mut permitted = vec![app_domain(&info.app_id)];
    if !info.instance_id.is_zero() {
        permitted.push(instance_domain(&info.app_id, &info.instance_id));
    }
    let not_before = UnixTime(now.0.saturating_sub(BACKDATED_S));
    let leaf = LeafRequest {
        app: info.app_id,
        csr: request.csr.as_bytes(),
        permitted: &permitted,
        validity: Validity::starting(not_before, seconds),
    };
    let chain = evidence.keys().issue_leaf(&leaf).map_err(Refusal::Certificate)?;
    Ok(CertificateResponse {
        chain: chain.to_vec(),
        decision,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
