//! A verifier that knows a certification answers what one that knows nothing answers.

use crate::{
    samples::{Sample, V4, V5, intel},
    simulated::{NOW, collateral, os, platform, roots},
};
use attestation::{Collateral, TrustRoots, VerifiedTd, Verifier, verify_td};
use kms_types::{ReportData, Rtmr, TdConfigId, UnixTime};
use proptest::prelude::*;
use soft_td::{QuoteVersion, SoftPlatform, TdConfig, TdReport};
use std::sync::LazyLock;
use td_quote::Td;

/// Everything a verdict says, except whether the certification was known.
fn says(td: &VerifiedTd) -> String {
    format!(
        "{:?}",
        (
            (
                td.mrtd(),
                td.rtmrs(),
                td.report_data(),
                td.mr_config_id(),
                td.mr_owner(),
                td.mr_owner_config()
            ),
            (
                td.mr_seam(),
                td.tdx_module_svn(),
                td.tdx_module_version(),
                td.attestation_root()
            ),
            (td.tcb_status(), td.advisory_ids(), td.fmspc(), td.device_id()),
            (
                td.tcb_evaluation_data_number(),
                td.tcb_date(),
                td.certified_until()
            ),
        )
    )
}

/// Both answers for one quote; the number of the check for a refusal.
fn answers(
    verifier: &Verifier,
    quote: &[u8],
    collateral: &Collateral,
    now: UnixTime,
    roots: &TrustRoots,
) -> [Result<String, &'static str>; 2] {
    [
        verify_td(quote, collateral, now, roots),
        verifier.verify(quote, collateral, now, roots),
    ]
    .map(|result| result.map(|td| says(&td)).map_err(|error| error.check()))
}

static REAL: LazyLock<Verifier> = LazyLock::new(|| {
    let verifier = Verifier::new(8);
    for sample in [&*V4, &*V5] {
        verifier
            .verify(&sample.quote, &sample.collateral, sample.now, &intel())
            .unwrap();
    }
    verifier
});

static PLATFORM: LazyLock<SoftPlatform> = LazyLock::new(|| platform(|_| ()));
static SIMULATED: LazyLock<(Collateral, Verifier)> = LazyLock::new(|| {
    let collateral = collateral(&PLATFORM);
    let verifier = Verifier::new(8);
    for version in [QuoteVersion::V4, QuoteVersion::V5Td10, QuoteVersion::V5Td15] {
        let quote = quote(version, |_| ());
        let td = verifier
            .verify(&quote, &collateral, NOW, &roots(&PLATFORM))
            .unwrap();
        assert!(!td.certified_warm());
    }
    (collateral, verifier)
});

fn quote(version: QuoteVersion, edit: impl Fn(&mut TdReport) + Send + Sync + 'static) -> Vec<u8> {
    let mut config = TdConfig::new(os());
    config.format.version = version;
    PLATFORM
        .launch(config)
        .with_edit(edit)
        .quote(&ReportData::ZERO)
        .unwrap()
}

fn versions() -> impl Strategy<Value = QuoteVersion> {
    prop_oneof![
        Just(QuoteVersion::V4),
        Just(QuoteVersion::V5Td10),
        Just(QuoteVersion::V5Td15)
    ]
}

/// Sets one of the fields that differ between TDs of one platform.
fn set_register(report: &mut TdReport, field: usize, value: u8) {
    match field {
        0 => report.measurement.mrtd = [value; 48].into(),
        1 => report.measurement.rtmr0 = Rtmr::new([value; 48]),
        2 => report.measurement.rtmr1 = Rtmr::new([value; 48]),
        3 => report.measurement.rtmr2 = Rtmr::new([value; 48]),
        4 => report.rtmr3 = Rtmr::new([value; 48]),
        5 => report.mr_config_id = TdConfigId::new([value; 48]),
        6 => report.mr_owner = TdConfigId::new([value; 48]),
        7 => report.mr_owner_config = TdConfigId::new([value; 48]),
        _ => report.report_data = ReportData::new([value; 64]),
    }
}

/// Sets one of the fields a certification depends on.
fn set_platform(report: &mut TdReport, field: usize, value: u8) {
    match field {
        0 => report.tee_tcb_svn[0] = value,
        1 => report.tee_tcb_svn[1] = value,
        2 => report.tee_tcb_svn[5] = value,
        3 => report.mr_seam[0] = value,
        4 => report.mr_signer_seam[0] = value,
        5 => report.seam_attributes = u64::from(value),
        6 => report.attributes ^= 1 << (value % 64),
        7 => report.xfam ^= 1 << (value % 64),
        8 => report.tee_tcb_svn2[2] = value,
        9 => report.tee_tcb_svn2[0] = value,
        _ => report.mr_service_td[0] = value,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Another TD of a known platform is answered from the certification, with its own registers.
    #[test]
    fn another_td_of_a_known_platform_is_answered_warm(version in versions(), field in 0_usize..9, value in any::<u8>()) {
        let (collateral, verifier) = &*SIMULATED;
        let quote = quote(version, move |report| set_register(report, field, value));
        let td = verifier.verify(&quote, collateral, NOW, &roots(&PLATFORM)).unwrap();
        prop_assert!(td.certified_warm());
        let [cold, warm] = answers(verifier, &quote, collateral, NOW, &roots(&PLATFORM));
        prop_assert_eq!(cold.unwrap(), warm.unwrap());
    }

    /// A well-signed quote that differs in anything else is answered the same either way.
    #[test]
    fn cold_and_warm_agree_on_other_platform_fields(version in versions(), field in 0_usize..11, value in any::<u8>()) {
        let (collateral, _) = &*SIMULATED;
        // Its own verifier: a certification kept by an earlier case must not answer for this one.
        let verifier = Verifier::new(8);
        let roots = roots(&PLATFORM);
        verifier.verify(&quote(version, |_| ()), collateral, NOW, &roots).unwrap();
        let quote = quote(version, move |report| set_platform(report, field, value));
        let [cold, warm] = answers(&verifier, &quote, collateral, NOW, &roots);
        prop_assert_eq!(cold, warm);
    }

    /// A quote with bits flipped and no new signature is answered the same either way.
    #[test]
    fn cold_and_warm_agree_on_flipped_bits(v5 in any::<bool>(), flips in proptest::collection::vec((any::<usize>(), 0_u32..8), 0..3)) {
        let sample: &Sample = if v5 { &V5 } else { &V4 };
        let mut quote = sample.quote.clone();
        for (at, bit) in &flips {
            let at = at % quote.len();
            quote[at] ^= 1 << bit;
        }
        let [cold, warm] = answers(&REAL, &quote, &sample.collateral, sample.now, &intel());
        prop_assert_eq!(cold, warm);
    }

    /// At any time the answers agree.
    #[test]
    fn cold_and_warm_agree_at_any_time(v5 in any::<bool>(), days in -60_i64..60, seconds in -2_i64..=2) {
        let sample: &Sample = if v5 { &V5 } else { &V4 };
        let end = i64::try_from(sample.collateral.valid_until().0).unwrap();
        for now in [end + seconds, i64::try_from(sample.now.0).unwrap() + days * 86_400] {
            let now = UnixTime(u64::try_from(now).unwrap());
            let [cold, warm] = answers(&REAL, &sample.quote, &sample.collateral, now, &intel());
            prop_assert_eq!(cold, warm);
        }
    }
}
