//! The KMS node without I/O: challenges, evidence, epochs, and the answers. Time, randomness and decisions are arguments.
//!
//! An answer can only be made from [`VerifiedEvidence`], a [`Decision`](kms_wire::Decision) that allows, and the position of
//! the release in the log. Everything that is refused is a [`Refusal`].
#![forbid(unsafe_code)]

mod certificate;
mod challenge;
mod decision;
mod epoch;
mod evidence;
mod lease;
mod refusal;
mod release;

pub use certificate::{certificate, check_request};
pub use challenge::{CHALLENGE_SECONDS, ChallengeError, Challenges, FreshChallenge, MAX_USED};
pub use decision::allowed;
pub use epoch::{EpochError, EpochRule, Epochs};
pub use evidence::{Purpose, VerifiedEvidence, check_bounds};
pub use lease::lease;
pub use refusal::Refusal;
pub use release::release;
