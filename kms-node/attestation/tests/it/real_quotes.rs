//! Real quotes verify at their time and at no other, under Intel's root and under no other.

use crate::samples::{self, INTEL_ROOT, Sample, V4, V5, V5_NO_LEVEL, intel};
use attestation::{
    AttestationError, Collateral, PckCa, TrustRoots, VerifiedTd, Verifier, describe, verification_time,
    verify_td,
};
use kms_types::{AttestationRoot, TcbStatus, UnixTime};

fn verify(sample: &Sample, now: UnixTime) -> Result<VerifiedTd, AttestationError> {
    verify_td(&sample.quote, &sample.collateral, now, &intel())
}

fn refusal(sample: &Sample, now: UnixTime) -> &'static str {
    verify(sample, now).unwrap_err().check()
}

#[test]
fn a_real_version_4_quote_verifies_at_its_time() {
    let td = verify(&V4, V4.now).unwrap();
    assert_eq!(td.tcb_status(), TcbStatus::UpToDate);
    assert_eq!(td.advisory_ids(), [""; 0]);
    assert_eq!(td.fmspc().to_plain_hex(), "b0c06f000000");
    assert_eq!(td.attestation_root().to_string(), INTEL_ROOT);
    assert_eq!((td.tdx_module_version(), td.tdx_module_svn()), (1, 6));
    assert_eq!(td.tcb_evaluation_data_number(), 17);
    assert_eq!(td.tcb_date(), UnixTime(1_710_288_000));
    assert!(td.mr_config_id().is_zero());
    assert!(!td.certified_warm());
    // MRTD stands at byte 184 of a version 4 quote, report data at 568.
    assert_eq!(&V4.quote[184..232], td.mrtd().as_ref());
    assert_eq!(&V4.quote[520..568], td.rtmr(3).unwrap().as_ref());
    assert_eq!(&V4.quote[568..632], td.report_data().as_ref());
}

#[test]
fn a_real_version_5_quote_verifies_at_its_time() {
    let td = verify(&V5, V5.now).unwrap();
    assert_eq!(td.tcb_status(), TcbStatus::UpToDate);
    assert_eq!((td.tdx_module_version(), td.tdx_module_svn()), (1, 15));
    assert_eq!(td.tcb_evaluation_data_number(), 20);
    assert_eq!(&V5.quote[190..238], td.mrtd().as_ref());
    // This TD was created with a compose hash in MRCONFIGID.
    assert_eq!(td.mr_config_id().as_bytes()[0], 1);
}

#[test]
fn q5_platform_that_meets_no_tcb_level_is_refused() {
    assert_eq!(refusal(&V5_NO_LEVEL, V5_NO_LEVEL.now), "Q5");
}

#[test]
fn q3_collateral_of_another_time_is_refused() {
    for now in [0, 1_700_000_000, V5.now.0, u64::MAX] {
        assert_eq!(refusal(&V4, UnixTime(now)), "Q3", "{now}");
    }
    // QE identity was issued last, at 2025-06-19T10:32:27Z.
    let issued = 1_750_329_147;
    verify(&V4, UnixTime(issued)).unwrap();
    assert_eq!(refusal(&V4, UnixTime(issued - 1)), "Q3");
}

#[test]
fn q2_revocation_list_past_its_next_update_is_refused() {
    // The PCK revocation list ends first in one sample, the QE identity in the other.
    let end = V4.collateral.valid_until().0;
    verify(&V4, UnixTime(end - 1)).unwrap();
    assert_eq!(refusal(&V4, UnixTime(end)), "Q2");
    let end = V5.collateral.valid_until().0;
    verify(&V5, UnixTime(end)).unwrap();
    assert_eq!(refusal(&V5, UnixTime(end + 1)), "Q3");
}

#[test]
fn q3_collateral_of_another_platform_is_refused() {
    // Both are in date then, for FMSPC 90C06F000000 and B0C06F000000.
    let now = V5_NO_LEVEL.now;
    let error = verify_td(&V4.quote, &V5_NO_LEVEL.collateral, now, &intel()).unwrap_err();
    assert_eq!(error.check(), "Q3", "{error}");
    assert!(error.expected().contains("FMSPC"), "{error}");
}

#[test]
fn q3_collateral_below_the_evaluation_floor_is_refused() {
    let roots = intel().with_evaluation_floor(17);
    verify_td(&V4.quote, &V4.collateral, V4.now, &roots).unwrap();
    let roots = intel().with_evaluation_floor(18);
    let error = verify_td(&V4.quote, &V4.collateral, V4.now, &roots).unwrap_err();
    assert_eq!((error.check(), error.actual().as_str()), ("Q3", "17"));
}

#[test]
fn q3_evaluation_floor_holds_for_known_certifications_too() {
    let verifier = Verifier::new(8);
    verifier
        .verify(&V4.quote, &V4.collateral, V4.now, &intel())
        .unwrap();
    let roots = intel().with_evaluation_floor(18);
    let error = verifier
        .verify(&V4.quote, &V4.collateral, V4.now, &roots)
        .unwrap_err();
    assert_eq!(error.check(), "Q3");
}

#[test]
fn q3_clock_behind_the_chain_is_refused() {
    let block = UnixTime(1_000_000);
    assert_eq!(
        verification_time(UnixTime(1_000_500), block).unwrap(),
        UnixTime(1_000_500)
    );
    assert_eq!(verification_time(UnixTime(999_950), block).unwrap(), block);
    assert_eq!(
        verification_time(UnixTime(999_939), block).unwrap_err().check(),
        "Q3"
    );
    assert_eq!(
        verification_time(UnixTime(0), UnixTime(u64::MAX))
            .unwrap_err()
            .check(),
        "Q3"
    );
}

#[test]
fn q1_no_root_refuses_everything() {
    for roots in [
        TrustRoots::default(),
        TrustRoots::new([AttestationRoot::new([7; 32])]),
    ] {
        let error = verify_td(&V4.quote, &V4.collateral, V4.now, &roots).unwrap_err();
        assert_eq!((error.check(), error.actual().as_str()), ("Q1", INTEL_ROOT));
    }
}

#[test]
fn q1_root_that_was_removed_refuses_known_certifications() {
    let verifier = Verifier::new(8);
    verifier
        .verify(&V4.quote, &V4.collateral, V4.now, &intel())
        .unwrap();
    let error = verifier
        .verify(&V4.quote, &V4.collateral, V4.now, &TrustRoots::default())
        .unwrap_err();
    assert_eq!(error.check(), "Q1");
}

#[test]
fn q6_enclave_quotes_are_refused() {
    assert_eq!(describe(&samples::file("sgx_quote")).unwrap_err().check(), "Q6");
    let error = verify_td(&samples::file("sgx_quote"), &V4.collateral, V4.now, &intel()).unwrap_err();
    assert_eq!(error.check(), "Q6");
}

#[test]
fn descriptions_name_platform_and_authority() {
    for (sample, version) in [(&*V4, 4), (&*V5, 5)] {
        let description = describe(&sample.quote).unwrap();
        let verifier = Verifier::new(1);
        for _read_then_remembered in 0..2 {
            assert_eq!(verifier.describe(&sample.quote).unwrap(), description);
        }
        assert_eq!(description.version, version);
        assert_eq!(description.pck_ca, PckCa::Platform);
        assert_eq!(description.fmspc, verify(sample, sample.now).unwrap().fmspc());
    }
}

#[test]
fn collateral_survives_its_own_json() {
    for sample in [&*V4, &*V5] {
        let again = Collateral::from_json(&sample.collateral.to_json()).unwrap();
        assert_eq!(again, sample.collateral);
    }
    assert_ne!(V4.collateral.id(), V5.collateral.id());
    assert_eq!(V4.collateral.tcb_evaluation_data_number(), 17);
}
