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
    let leaf = LeafRequest {
        app: info.app_id,
        csr: request.csr.as_bytes(),
        permitted: &permitted,
        validity: validity(request.not_before, request.not_after, now, seconds)?,
    };
    let chain = evidence.keys().issue_leaf(&leaf).map_err(Refusal::Certificate)?;
    Ok(CertificateResponse {
        chain: chain.to_vec(),
        decision,
    })
}

/// What is asked for, within what the KMS gives.
fn validity(
    not_before: Option<UnixTime>,
    not_after: Option<UnixTime>,
    now: UnixTime,
    seconds: u64,
) -> Result<Validity, Refusal> {
    let given = Validity::starting(UnixTime(now.0.saturating_sub(BACKDATED_S)), seconds);
    // K1: nothing revokes a certificate; one that ends later than the KMS says outlives the permission it rests on.
    let asked = Validity {
        not_before: not_before.map_or(given.not_before, |asked| asked.max(given.not_before)),
        not_after: not_after.map_or(given.not_after, |asked| asked.min(given.not_after)),
    };
    if asked.not_before < asked.not_after {
        return Ok(asked);
    }
    let shown = |time: Option<UnixTime>| time.map_or("none".to_owned(), |time| time.to_string());
    Err(Refusal::Malformed {
        what: "not_before, not_after",
        expected: format!("times that overlap {} to {}", given.not_before, given.not_after),
        actual: format!("{} to {}", shown(not_before), shown(not_after)),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds of the validity at 10,000 s of a KMS that gives an hour; none when refused.
    fn bounds(from: Option<u64>, to: Option<u64>) -> Option<(u64, u64)> {
        let given = validity(from.map(UnixTime), to.map(UnixTime), UnixTime(10_000), 3600);
        match given {
            Ok(validity) => Some((validity.not_before.0, validity.not_after.0)),
            Err(Refusal::Malformed { .. }) => None,
            Err(_) => Some((0, 0)),
        }
    }

    #[test]
    fn k1_a_certificate_is_valid_as_asked_but_never_longer_than_the_kms_gives() {
        for (from, to, expected) in [
            (None, None, Some((9_940, 13_540))),
            (Some(10_100), Some(10_200), Some((10_100, 10_200))),
            (None, Some(10_200), Some((9_940, 10_200))),
            (Some(10_100), None, Some((10_100, 13_540))),
            (Some(0), Some(u64::MAX), Some((9_940, 13_540))),
            (Some(9_939), Some(13_541), Some((9_940, 13_540))),
            // Nothing is left of these.
            (None, Some(9_940), None),
            (Some(13_540), None, None),
            (Some(10_200), Some(10_200), None),
            (Some(10_200), Some(10_100), None),
            (Some(u64::MAX), Some(u64::MAX), None),
        ] {
            assert_eq!(bounds(from, to), expected, "{from:?} {to:?}");
        }
    }
}
