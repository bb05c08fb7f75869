//! Quotes of the wrong kind, length or spelling, made from a real one by edits that leave the rest as it was. What is
//! wrong is found before any signature is checked.

use crate::samples::{V4, V5, intel};
use attestation::{Collateral, MAX_QUOTE_BYTES, describe, verify_td};
use proptest::prelude::*;

/// Offsets in the version 4 sample.
const SIGNATURE_DATA: usize = 632;
const OUTER_TYPE: usize = SIGNATURE_DATA + 4 + 128;
const AUTH_LEN: usize = OUTER_TYPE + 6 + 448;
const INNER_TYPE: usize = AUTH_LEN + 2 + 32;
const CHAIN: usize = INNER_TYPE + 6;

fn refusal(quote: &[u8]) -> &'static str {
    verify_td(quote, &V4.collateral, V4.now, &intel())
        .unwrap_err()
        .check()
}

fn edited(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut quote = V4.quote.clone();
    edit(&mut quote);
    quote
}

/// The version 4 sample with another certificate chain and lengths that fit it.
fn with_chain(chain: &[u8]) -> Vec<u8> {
    let mut quote = V4.quote[..CHAIN].to_vec();
    quote.extend_from_slice(chain);
    let len = |from: usize| u32::try_from(quote.len() - from - 4).unwrap().to_le_bytes();
    let lens = [SIGNATURE_DATA, OUTER_TYPE + 2, INNER_TYPE + 2].map(|at| (at, len(at)));
    for (at, len) in lens {
        quote[at..at + 4].copy_from_slice(&len);
    }
    quote
}

fn chain() -> &'static [u8] {
    let len = u32::from_le_bytes(V4.quote[CHAIN - 4..CHAIN].try_into().unwrap()) as usize;
    &V4.quote[CHAIN..CHAIN + len]
}

#[test]
fn q6_kinds_of_quote_that_are_not_accepted() {
    for version in [0_u8, 1, 2, 3, 6, 255] {
        assert_eq!(refusal(&edited(|q| q[0] = version)), "Q6", "version {version}");
    }
    for (what, at) in [
        ("key type", 2),
        ("TEE type", 4),
        ("vendor", 12),
        ("outer type", OUTER_TYPE),
        ("inner type", INNER_TYPE),
    ] {
        for flip in [1_u8, 2, 0x80] {
            assert_eq!(refusal(&edited(|q| q[at] ^= flip)), "Q6", "{what}");
        }
    }
    for body in [0_u8, 1, 5, 0xff] {
        let mut quote = V5.quote.clone();
        quote[48] = body;
        assert_eq!(refusal(&quote), "Q6", "body type {body}");
    }
}

#[test]
fn q6_outer_certification_type_is_refused_before_the_chain_is_read() {
    let error = verify_td(&edited(|q| q[OUTER_TYPE] = 5), &V4.collateral, V4.now, &intel()).unwrap_err();
    assert_eq!(
        (error.expected().as_str(), error.actual().as_str()),
        ("outer certification type: 6", "5")
    );
}

#[test]
fn q8_lengths_that_do_not_add_up_are_refused() {
    for at in [SIGNATURE_DATA, OUTER_TYPE + 2, INNER_TYPE + 2] {
        for change in [1_i64, -1, 1000, i64::from(u32::MAX / 2)] {
            let quote = edited(|q| {
                let field: &mut [u8; 4] = (&mut q[at..at + 4]).try_into().unwrap();
                *field = u32::try_from(i64::from(u32::from_le_bytes(*field)) + change)
                    .unwrap()
                    .to_le_bytes();
            });
            assert_eq!(refusal(&quote), "Q8", "{at} {change}");
        }
    }
    assert_eq!(refusal(&edited(|q| q[AUTH_LEN] = 31)), "Q8");
    let mut quote = V5.quote.clone();
    quote[50] ^= 1;
    assert_eq!(refusal(&quote), "Q8");
}

#[test]
fn q8_every_truncation_is_refused() {
    let end = CHAIN + chain().len();
    for len in 0..end {
        assert!(describe(&V4.quote[..len]).is_err(), "{len}");
    }
    // The sample's last bytes are padding.
    assert_eq!(describe(&V4.quote[..end]), describe(&V4.quote));
}

#[test]
fn q8_bytes_after_the_signature_data_are_refused_unless_zero() {
    let quote = edited(|q| q.push(1));
    assert_eq!(refusal(&quote), "Q8");
    let padded = edited(|q| q.resize(MAX_QUOTE_BYTES, 0));
    verify_td(&padded, &V4.collateral, V4.now, &intel()).unwrap();
    assert_eq!(refusal(&edited(|q| q.resize(MAX_QUOTE_BYTES + 1, 0))), "Q8");
}

#[test]
fn q8_longer_certificate_chains_are_refused() {
    let one = chain().strip_suffix(b"\0").unwrap();
    let quote = with_chain(&one.repeat(3));
    assert!(quote.len() < MAX_QUOTE_BYTES);
    assert_eq!(refusal(&quote), "Q8");
}

#[test]
fn q1_chains_with_a_certificate_more_or_less_are_refused() {
    let text = std::str::from_utf8(chain().strip_suffix(b"\0").unwrap()).unwrap();
    let certificates: Vec<_> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
    let [pck, ca, root] = certificates[..] else {
        panic!()
    };
    verify_td(
        &with_chain([pck, ca, root].concat().as_bytes()),
        &V4.collateral,
        V4.now,
        &intel(),
    )
    .unwrap();
    for wrong in [vec![pck, root], vec![pck, ca, ca, root], vec![root]] {
        assert_eq!(refusal(&with_chain(wrong.concat().as_bytes())), "Q1");
    }
    // Another order ends at a certificate that is not the root.
    assert_eq!(refusal(&with_chain([pck, root, ca].concat().as_bytes())), "Q1");
}

#[test]
fn q8_other_spellings_of_the_same_chain_are_refused() {
    let text = std::str::from_utf8(chain().strip_suffix(b"\0").unwrap()).unwrap();
    let spellings = [
        text.replace('\n', "\r\n"),
        format!(" {text}"),
        format!("{text}\n"),
        text.replacen("-----\n-----", "-----\n\n-----", 1),
        text.replacen('\n', "\n\n", 2),
        format!("# comment\n{text}"),
        format!("{text}trailing"),
        text.replacen("CERTIFICATE", "X509 CERTIFICATE", 2),
    ];
    for spelling in spellings {
        assert_eq!(refusal(&with_chain(spelling.as_bytes())), "Q8", "{spelling}");
    }
}

#[test]
fn q8_collateral_out_of_bounds_or_malformed_is_refused() {
    let huge = vec![b' '; attestation::MAX_COLLATERAL_BYTES + 1];
    for json in [&huge[..], b"", b"{}", b"[]", b"null", b"\xff"] {
        assert_eq!(Collateral::from_json(json).unwrap_err().check(), "Q8");
    }
}

proptest! {
    /// No input makes the parser panic, whatever it is.
    #[test]
    fn parsing_anything_ends(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _ = describe(&bytes);
        let _ = Collateral::from_json(&bytes);
    }

    /// Nor does a real quote with any run of its bytes replaced; and none of them verifies.
    #[test]
    fn q8_replaced_runs_never_verify(at in 0_usize..4900, run in proptest::collection::vec(any::<u8>(), 1..64)) {
        let quote = edited(|q| {
            for (to, from) in q[at..].iter_mut().zip(&run) {
                *to = *from;
            }
        });
        let changed = quote != V4.quote;
        let verified = verify_td(&quote, &V4.collateral, V4.now, &intel()).is_ok();
        prop_assert_eq!(verified, !changed);
    }
}
