//! Any bytes as a catalogue: no panic; what is accepted is written and read again as the same image, and proves its leaves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use td_measure::Catalogue;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(catalogue) = Catalogue::from_json(bytes) {
        let again = Catalogue::from_json(&catalogue.to_json().expect("JSON")).expect("written by ourselves");
        assert_eq!(again.os_image_hash(), catalogue.os_image_hash());
        let first = catalogue.measurements().first().expect("never empty");
        assert!(catalogue.proof(first).is_some());
    }
});
