//! Any bytes as a quote: no panic, nothing verified, and what is read is what dcap-qvl reads from the same bytes.
#![no_main]

use attestation::{TrustRoots, describe, verify_td};
use dcap_qvl::quote::Quote;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const COLLATERAL: &[u8] = include_bytes!("../seeds/collateral/tdx_quote");

static KNOWN: LazyLock<(attestation::Collateral, TrustRoots)> = LazyLock::new(|| {
    let root = describe(include_bytes!("../seeds/quote/tdx_quote")).map(|d| d.attestation_root);
    (
        attestation::Collateral::from_json(COLLATERAL).expect("the seed is well-formed"),
        TrustRoots::new(root),
    )
});

fuzz_target!(|bytes: &[u8]| {
    let described = describe(bytes);
    let theirs = Quote::parse(bytes);
    if let Ok(described) = &described {
        let theirs = theirs.expect("a stricter parser accepted more");
        assert_eq!(described.version, theirs.header.version);
        assert!(theirs.report.as_td10().is_some());
    }
    let (collateral, roots) = &*KNOWN;
    let now = kms_types::UnixTime(1_750_400_000);
    if let Ok(td) = verify_td(bytes, collateral, now, roots) {
        // Only the seed itself, with more or less padding, has signatures.
        let seed = include_bytes!("../seeds/quote/tdx_quote");
        assert_eq!(td.mrtd().as_ref(), &seed[184..232]);
        assert_eq!(td.report_data().as_ref(), &seed[568..632]);
    }
});
