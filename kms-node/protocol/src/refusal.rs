//! Why a request gets nothing, and the one place where that becomes a problem document.

use crate::{ChallengeError, EpochError};
use attestation::AttestationError;
use kms_keys::KeyError;
use kms_types::{BlockRef, DiskGeneration};
use kms_wire::{Problem, ProblemCode};

/// A refused request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// Readable JSON that is not a request of the protocol.
    #[error("{what}: expected {expected}, got {actual}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What the protocol says.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The challenge is not good.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// The evidence does not hold.
    #[error("evidence")]
    Attestation(#[from] AttestationError),
    /// The contract says no.
    #[error("denied at block {block}: {reason}")]
    Denied {
        /// The contract's reason.
        reason: String,
        /// The block that decided.
        block: BlockRef,
    },
    /// The instance's disk is older than one it reported before, or another copy of it.
    #[error(
        "disk generation: expected {expected}, which this instance reported before, or a higher number, got {actual}; its disk was set back (check G4)"
    )]
    SetBack {
        /// Highest that was reported.
        expected: DiskGeneration,
        /// What came.
        actual: DiskGeneration,
    },
    /// No keys of that epoch.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The certificate request is not for this app.
    #[error("certificate request")]
    Certificate(#[source] kms_keys::CaError),
    /// An answer above its own bound.
    #[error("answer: expected at most {limit} bytes")]
    Sealing {
        /// The bound.
        limit: usize,
    },
    /// A key operation failed.
    #[error("key operation")]
    Keys(#[from] KeyError),
}

impl Refusal {
    /// The problem document, without the id of the request.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Malformed { .. } => Problem::new(ProblemCode::Malformed, self.to_string()),
            Self::Certificate(error) => {
                Problem::new(ProblemCode::Malformed, format!("certificate request: {error}"))
            }
            Self::Challenge(ChallengeError::Full) => Problem::new(ProblemCode::Busy, self.to_string()),
            Self::Challenge(_) => Problem::new(ProblemCode::StaleChallenge, self.to_string()),
            Self::Attestation(error) => attestation(error),
            Self::Denied { reason, block } => denied(self.to_string(), reason.clone(), *block),
            Self::SetBack { expected, actual } => Problem {
                check: Some("G4".to_owned()),
                expected: Some(expected.to_string()),
                actual: Some(actual.to_string()),
                reason: Some(if actual.number < expected.number {
                    format!("disk_generation_too_low: {} < {}", actual.number, expected.number)
                } else {
                    format!("disk_of_another_copy: {} != {}", actual.mark, expected.mark)
                }),
                ..Problem::new(ProblemCode::Denied, self.to_string())
            },
            Self::Epoch(EpochError::BelowMinimum { block, .. }) => denied(
                format!("denied at block {block}: {self}"),
                self.to_string(),
                *block,
            ),
            Self::Epoch(EpochError::AboveCurrent { .. } | EpochError::NotHeld { .. }) => {
                Problem::new(ProblemCode::NotFound, self.to_string())
            }
            // What failed inside is nobody's business outside.
            Self::Keys(_) | Self::Sealing { .. } => {
                Problem::new(ProblemCode::Internal, "the node failed; its log says why")
            }
        }
    }
}

fn attestation(error: &AttestationError) -> Problem {
    Problem {
        check: Some(error.check().to_owned()),
        expected: Some(error.expected()),
        actual: Some(error.actual()),
        ..Problem::new(ProblemCode::AttestationFailed, error.to_string())
    }
}

fn denied(detail: String, reason: String, block: BlockRef) -> Problem {
    Problem {
        reason: Some(reason),
        block: Some(block),
        ..Problem::new(ProblemCode::Denied, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestation::Mismatch;
    use kms_types::{BlockHash, UnixTime};

    fn mismatch() -> Mismatch {
        Mismatch {
            what: "report data",
            expected: "a".to_owned(),
            actual: "b".to_owned(),
        }
    }

    #[test]
    fn denied_malformed_and_could_not_are_different_codes() {
        let block = BlockRef {
            number: 5,
            hash: BlockHash::ZERO,
        };
        let denied = Refusal::Denied {
            reason: "paused".to_owned(),
            block,
        };
        let expired = ChallengeError::Expired {
            expires_at: UnixTime(1),
            now: UnixTime(2),
        };
        let set_back = Refusal::SetBack {
            expected: DiskGeneration {
                number: 7,
                mark: kms_types::DiskMark::new([1; 16]),
            },
            actual: DiskGeneration {
                number: 6,
                mark: kms_types::DiskMark::new([1; 16]),
            },
        };
        let cases: [(Refusal, ProblemCode); 9] = [
            (set_back, ProblemCode::Denied),
            (denied, ProblemCode::Denied),
            (ChallengeError::Unknown.into(), ProblemCode::StaleChallenge),
            (ChallengeError::Used.into(), ProblemCode::StaleChallenge),
            (expired.into(), ProblemCode::StaleChallenge),
            (ChallengeError::Full.into(), ProblemCode::Busy),
            (
                AttestationError::ReportData(mismatch()).into(),
                ProblemCode::AttestationFailed,
            ),
            (Refusal::Sealing { limit: 1 }, ProblemCode::Internal),
            (
                KeyError::ZeroScalar { label: "app/k256" }.into(),
                ProblemCode::Internal,
            ),
        ];
        for (refusal, code) in cases {
            assert_eq!(refusal.problem().code, code, "{refusal:?}");
        }
    }

    #[test]
    fn attestation_problems_name_check_expected_and_actual() {
        let problem = Refusal::from(AttestationError::ReportData(mismatch())).problem();
        assert_eq!(problem.check.as_deref(), Some("Q7"));
        assert_eq!(problem.expected.as_deref(), Some("report data: a"));
        assert_eq!(problem.actual.as_deref(), Some("b"));
        assert_eq!(problem.status, 401);
    }

    #[test]
    fn k4_faults_of_keys_are_not_told_outside() {
        let problem = Refusal::from(KeyError::ZeroScalar { label: "app/k256" }).problem();
        assert!(!problem.detail.contains("app/k256"), "{}", problem.detail);
    }
}
