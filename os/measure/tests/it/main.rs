//! Tests of the catalogue: format, bounds, and proofs against a second implementation of RFC 6962.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod ccel;
mod firmware;
mod format;
mod kernel;
mod known;
mod proofs;
mod smbios;

use kms_types::{Mrtd, OsMeasurement, Rtmr};

/// A measurement told apart by one number.
fn measurement(n: u64) -> OsMeasurement {
    let mut bytes = [0x5a; 48];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    OsMeasurement {
        mrtd: Mrtd::new([1; 48]),
        rtmr0: Rtmr::new(bytes),
        rtmr1: Rtmr::new([2; 48]),
        rtmr2: Rtmr::new([3; 48]),
    }
}
