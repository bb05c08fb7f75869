//! Errors on the wire: one status and one name for each code.

use kms_wire::{Problem, ProblemCode};

const CODES: [(ProblemCode, &str, u16); 15] = [
    (ProblemCode::Malformed, "malformed", 400),
    (ProblemCode::AttestationFailed, "attestation_failed", 401),
    (ProblemCode::Denied, "denied", 403),
    (ProblemCode::NotFound, "not_found", 404),
    (ProblemCode::StaleChallenge, "stale_challenge", 409),
    (ProblemCode::TooLarge, "too_large", 413),
    (ProblemCode::RateLimited, "rate_limited", 429),
    (ProblemCode::Internal, "internal", 500),
    (ProblemCode::Busy, "busy", 503),
    (ProblemCode::ChainUnavailable, "chain_unavailable", 503),
    (ProblemCode::ChainStale, "chain_stale", 503),
    (ProblemCode::ChainDisagreement, "chain_disagreement", 503),
    (ProblemCode::CollateralUnavailable, "collateral_unavailable", 503),
    (ProblemCode::NodeNotAllowed, "node_not_allowed", 503),
    (ProblemCode::LogUnavailable, "log_unavailable", 503),
];

#[test]
fn every_code_has_its_name_and_status() {
    for (code, name, status) in CODES {
        let problem = Problem::new(code, "detail");
        assert_eq!(
            (problem.kind, problem.status),
            (format!("urn:kedge:problem:{name}"), status)
        );
        assert_eq!(serde_json::to_value(code).unwrap(), name);
        assert_eq!(
            serde_json::from_str::<ProblemCode>(&format!("\"{name}\"")).unwrap(),
            code
        );
    }
    serde_json::from_str::<ProblemCode>("\"allowed\"").unwrap_err();
}
