//! The template against a header cryptsetup 2.7.5 made in a guest, and against what a host could make of it.

use guest_disk::header::{check, test_support::with_checksums};
use guest_disk::layout::{HEADER_LEN, METADATA};
use proptest::prelude::*;

const REAL: &[u8] = include_bytes!("cryptsetup-2.7.5.header");

fn real() -> Vec<u8> {
    let mut bytes = REAL.to_vec();
    bytes.resize(HEADER_LEN, 0);
    bytes
}

/// The real header with its JSON edited in both copies, checksums right again.
fn edited(from: &str, to: &str) -> Vec<u8> {
    let mut bytes = real();
    let mut found = false;
    for copy in bytes.chunks_exact_mut(METADATA).take(2) {
        let text = String::from_utf8(copy[4096..].to_vec()).unwrap();
        found |= text.contains(from);
        let mut json = text.trim_end_matches('\0').replacen(from, to, 1).into_bytes();
        json.resize(METADATA - 4096, 0);
        copy[4096..].copy_from_slice(&json);
    }
    assert!(found, "{from} is not in the header");
    with_checksums(&mut bytes);
    bytes
}

#[test]
fn what_cryptsetup_makes_is_the_template() {
    check(&real()).unwrap();
}

#[test]
fn g4_a_header_that_decides_otherwise_is_refused_by_field() {
    let cases = [
        (
            r#""encryption":"aes-xts-plain64","sector_size""#,
            r#""encryption":"cipher_null-ecb","sector_size""#,
            "segment.encryption",
        ),
        (
            r#""encryption":"aes-xts-plain64","key_size""#,
            r#""encryption":"cipher_null-ecb","key_size""#,
            "keyslot.area.encryption",
        ),
        (
            r#""type":"hmac(sha256)""#,
            r#""type":"none""#,
            "segment.integrity.type",
        ),
        (r#""offset":"33554432""#, r#""offset":"0""#, "segment.offset"),
        (r#""size":"dynamic""#, r#""size":"4096""#, "segment.size"),
        (r#""type":"crypt""#, r#""type":"linear""#, "segment.type"),
        (
            r#""sector_size":4096"#,
            r#""sector_size":512"#,
            "segment.sector_size",
        ),
        (r#""iv_tweak":"0""#, r#""iv_tweak":"1""#, "segment.iv_tweak"),
        (r#""key_size":96"#, r#""key_size":32"#, "keyslot.key_size"),
        (r#""stripes":4000"#, r#""stripes":4"#, "keyslot.af.stripes"),
        (
            r#""iterations":1000,"salt":"teG"#,
            r#""iterations":1,"salt":"teG"#,
            "keyslot.kdf.iterations",
        ),
        (
            r#""iterations":1000,"salt":"jQ5"#,
            r#""iterations":2000000000,"salt":"jQ5"#,
            "digest.iterations",
        ),
        (r#""segments":["0"]"#, r#""segments":[]"#, "digest.segments"),
        (r#""tokens":{}"#, r#""tokens":{"0":{"type":"x"}}"#, "JSON"),
        (r#""segments":{"0""#, r#""segments":{"1":{},"0""#, "JSON"),
        (
            r#""config":{"#,
            r#""config":{"requirements":{"mandatory":["online-reencrypt"]},"#,
            "JSON",
        ),
        (r#""tokens":{}"#, r#""tokens":{},"tokens":{}"#, "JSON"),
        (
            r#""keyslots_size":"524288""#,
            r#""keyslots_size":"0""#,
            "config.keyslots_size",
        ),
    ];
    for (from, to, field) in cases {
        let error = check(&edited(from, to)).unwrap_err();
        assert_eq!(error.field, field, "{to}: {error}");
    }
}

#[test]
fn g4_copies_that_differ_leave_the_host_no_choice() {
    let other = edited(r#""salt":"teG"#, r#""salt":"teH"#);
    check(&other).unwrap();
    let mut mixed = real();
    mixed[METADATA..2 * METADATA].copy_from_slice(&other[METADATA..2 * METADATA]);
    assert_eq!(check(&mixed).unwrap_err().field, "metadata copies");
}

#[test]
fn a_length_that_is_not_the_layouts_is_refused() {
    for length in [0, 1, METADATA, HEADER_LEN - 1, HEADER_LEN + 1] {
        let mut bytes = real();
        bytes.resize(length, 0);
        assert_eq!(check(&bytes).unwrap_err().field, "length");
    }
}

proptest! {
    #[test]
    fn g4_a_changed_bit_of_the_metadata_is_refused(at in 0..2 * METADATA, bit in 0_u8..8) {
        let mut bytes = real();
        bytes[at] ^= 1 << bit;
        prop_assert!(check(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(check(&bytes).is_err());
        let mut whole = bytes;
        whole.resize(HEADER_LEN, 0);
        with_checksums(&mut whole);
        prop_assert!(check(&whole).is_err());
    }
}
