//! Any bytes as the metadata of a LUKS2 header, also with checksums that hold: no panic, and nothing but the template is accepted.
#![no_main]

use guest_disk::header::{check, test_support::with_checksums};
use guest_disk::layout::{HEADER_LEN, METADATA};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = check(bytes);
    let mut whole = bytes.to_vec();
    whole.resize(HEADER_LEN, 0);
    with_checksums(&mut whole);
    if check(&whole).is_ok() {
        let text = String::from_utf8_lossy(whole.get(4096..METADATA).unwrap_or_default());
        assert!(text.contains("\"encryption\":\"aes-xts-plain64\"") && !text.contains("null"));
    }
});
