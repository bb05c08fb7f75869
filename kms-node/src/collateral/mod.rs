//! Collateral for the platforms that ask: fetched once, shared by all, refreshed before it ends, used offline until then.
//!
//! What a service sends goes to disk and raises the floor of its evaluation number only once a quote was verified with it.
//! Refuses collateral below that floor, past its date or too large.

mod cache;
mod disk;
mod pcs;

pub use cache::CollateralCache;
pub use pcs::PcsClient;

use attestation::{AttestationError, PckCa};
use kms_types::{Fmspc, UnixTime};
use std::{fmt, sync::Arc};

/// Which collateral: a platform family and the CA of its PCK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CollateralKey {
    /// Family.
    pub fmspc: Fmspc,
    /// CA.
    pub ca: PckCa,
}

impl CollateralKey {
    /// Name of the CA in the API of the service.
    pub const fn ca_name(&self) -> &'static str {
        match self.ca {
            PckCa::Platform => "platform",
            PckCa::Processor => "processor",
        }
    }
}

impl fmt::Display for CollateralKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.fmspc.to_plain_hex(), self.ca_name())
    }
}

/// Why there is no collateral.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CollateralError {
    /// The service could not be reached or did not answer in time.
    #[error("collateral service: {what}: {message}")]
    Unreachable {
        /// Which document.
        what: &'static str,
        /// Transport error, without the address.
        message: String,
    },
    /// The service answered something else.
    #[error("collateral service: {what}: expected {expected}, got {actual}")]
    Answer {
        /// Which document.
        what: &'static str,
        /// What the API says.
        expected: String,
        /// What came.
        actual: String,
    },
    /// What came is not collateral.
    #[error("collateral for {key}")]
    Unusable {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: Arc<AttestationError>,
    },
    /// Older than what was used before.
    #[error("collateral for {key}: expected evaluation data number from {floor}, got {actual}")]
    Rollback {
        /// Which.
        key: String,
        /// Highest number seen.
        floor: u32,
        /// What came.
        actual: u32,
    },
    /// Past its date.
    #[error("collateral for {key}: expected one valid at {now}, got one that ended at {ended}")]
    Expired {
        /// Which.
        key: String,
        /// Now.
        now: UnixTime,
        /// Its earliest end.
        ended: UnixTime,
    },
    /// Too many platform families at once.
    #[error("collateral: expected at most {limit} platform families, got one more")]
    Crowded {
        /// Bound.
        limit: usize,
    },
    /// The floor cannot be kept.
    #[error("collateral floor")]
    Floor(#[source] Arc<crate::store::StoreError>),
}
