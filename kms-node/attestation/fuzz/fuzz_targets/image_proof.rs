//! Any bytes as an image proof: no panic, and two measurements never lead to one image by one proof.
#![no_main]

use attestation::{MAX_PROOF_BYTES, os_image_hash_from_proof};
use kms_types::{Mrtd, OsMeasurement, Rtmr};
use libfuzzer_sys::fuzz_target;

const fn measurement(n: u8) -> OsMeasurement {
    OsMeasurement {
        mrtd: Mrtd::new([n; 48]),
        rtmr0: Rtmr::new([1; 48]),
        rtmr1: Rtmr::new([2; 48]),
        rtmr2: Rtmr::new([3; 48]),
    }
}

fuzz_target!(|proof: &[u8]| {
    let one = os_image_hash_from_proof(&measurement(0), proof);
    let other = os_image_hash_from_proof(&measurement(1), proof);
    assert_eq!(one.is_ok(), other.is_ok());
    if let (Ok(one), Ok(other)) = (one, other) {
        assert!(proof.len() <= MAX_PROOF_BYTES);
        assert_ne!(one, other);
    }
});
