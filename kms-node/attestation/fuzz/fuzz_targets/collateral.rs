//! Any bytes as collateral: no panic, and what is accepted survives being written and read again.
#![no_main]

use attestation::Collateral;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(collateral) = Collateral::from_json(bytes) {
        let again = Collateral::from_json(&collateral.to_json()).expect("written by ourselves");
        assert_eq!(again.id(), collateral.id());
    }
});
