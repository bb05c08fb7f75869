//! Every single bit of a real quote matters, and so does the collateral.

use crate::samples::{Sample, V4, V5, intel};
use attestation::{Collateral, Verifier, verify_td};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Bits of a quote that may change without a refusal, as (quote, byte, bit, reason). There are none: the header and the
/// body are signed by the attestation key, which is hashed into the QE report, which is signed by the PCK key, whose
/// chain has one spelling and is signed up to and including the root; lengths and types have one value each, and
/// padding is zero.
const FREE_BITS: [(&str, usize, u32, &str); 0] = [];

/// Bits whose flip was accepted, by a verifier that knows the genuine quote's certification.
fn accepted_flips(
    sample: &Sample,
    body: std::ops::Range<usize>,
) -> (Vec<(usize, u32)>, BTreeMap<&'static str, usize>) {
    let verifier = Verifier::new(16);
    let roots = intel();
    verifier
        .verify(&sample.quote, &sample.collateral, sample.now, &roots)
        .unwrap();
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().unwrap().get();
    let work = || {
        let (mut accepted, mut refused) = (Vec::new(), BTreeMap::<_, usize>::new());
        let mut quote = sample.quote.clone();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= quote.len() {
                return (accepted, refused);
            }
            for bit in 0..8 {
                quote[at] ^= 1 << bit;
                // The body is where a known certification saves work, so there the cold path is tried too.
                let cold_agrees =
                    !body.contains(&at) || verify_td(&quote, &sample.collateral, sample.now, &roots).is_err();
                match verifier.verify(&quote, &sample.collateral, sample.now, &roots) {
                    Err(error) if cold_agrees => *refused.entry(error.check()).or_default() += 1,
                    _ => accepted.push((at, bit)),
                }
                quote[at] ^= 1 << bit;
            }
        }
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let mut all = (Vec::new(), BTreeMap::<_, usize>::new());
    for (accepted, refused) in parts {
        all.0.extend(accepted);
        for (check, count) in refused {
            *all.1.entry(check).or_default() += count;
        }
    }
    all.0.sort_unstable();
    all
}

fn check(name: &'static str, sample: &Sample, body: std::ops::Range<usize>) {
    let (accepted, refused) = accepted_flips(sample, body);
    let listed: Vec<_> = FREE_BITS
        .iter()
        .filter(|(quote, ..)| *quote == name)
        .map(|(_, byte, bit, _)| (*byte, *bit))
        .collect();
    assert_eq!(accepted, listed, "bits of {name} that do not matter");
    assert_eq!(
        refused.values().sum::<usize>() + accepted.len(),
        sample.quote.len() * 8
    );
    println!("{name}: refused by {refused:?}");
}

#[test]
fn every_bit_of_a_version_4_quote_matters() {
    check("v4", &V4, 48..632);
}

#[test]
fn every_bit_of_a_version_5_quote_matters() {
    check("v5", &V5, 48..939);
}

/// Parts of a collateral document, and whether a change in them must be refused.
const PARTS: [(&str, bool); 9] = [
    // Not read: the revocation list must be signed by the very CA that issued the PCK certificate, which the quote brings.
    ("pck_crl_issuer_chain", false),
    ("root_ca_crl", true),
    ("pck_crl", true),
    ("tcb_info", true),
    ("tcb_info_signature", true),
    ("qe_identity", true),
    ("qe_identity_signature", true),
    ("tcb_info_issuer_chain", true),
    ("qe_identity_issuer_chain", true),
];

/// Flips one bit of a character of a JSON string in a way that keeps the document parsable.
fn flip(text: &str, at: usize, hex: bool) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if hex {
        let digit = (bytes[at] as char).to_digit(16)? ^ 1;
        std::char::from_digit(digit, 16)? as u8
    } else {
        bytes[at] ^ 1
    };
    String::from_utf8(bytes).ok()
}

#[test]
fn q3_sampled_changes_of_collateral_are_refused() {
    let document: serde_json::Value = serde_json::from_slice(&V4.collateral_json).unwrap();
    let accepts = |document: &serde_json::Value| {
        let json = serde_json::to_vec(document).unwrap();
        Collateral::from_json(&json)
            .and_then(|collateral| verify_td(&V4.quote, &collateral, V4.now, &intel()))
            .is_ok()
    };
    assert!(accepts(&document));
    for (part, matters) in PARTS {
        let text = document[part].as_str().unwrap();
        let hex = !part.ends_with("chain") && part != "tcb_info" && part != "qe_identity";
        // The last certificate of an issuer chain is the root, which is taken from the quote instead.
        let end = if part.ends_with("chain") {
            text.find("-----END").unwrap()
        } else {
            text.len()
        };
        for at in (0..end).step_by(end.div_ceil(97)) {
            let Some(changed) = flip(text, at, hex) else {
                continue;
            };
            let mut document = document.clone();
            document[part] = changed.into();
            assert!(!accepts(&document) || !matters, "{part} at {at}");
        }
    }
}
