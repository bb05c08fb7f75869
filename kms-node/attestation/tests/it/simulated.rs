//! A simulated platform, good in everything but one thing at a time. Its signatures are good, so what refuses is the
//! check the test names.

use attestation::{AttestationError, Collateral, TrustRoots, VerifiedTd, Verifier, verify_td};
use kms_types::{Fmspc, Mrtd, OsMeasurement, ReportData, Rtmr, TcbStatus, UnixTime};
use soft_td::{
    CertificateFault, PlatformConfig, PlatformSeed, QuoteVersion, SoftPlatform, TdConfig, TdReport, Validity,
};
use td_quote::Td;

/// 2026-11-22T12:00:00Z.
pub(crate) const NOW: UnixTime = UnixTime(1_795_348_800);
const VERSIONS: [QuoteVersion; 3] = [QuoteVersion::V4, QuoteVersion::V5Td10, QuoteVersion::V5Td15];

pub(crate) fn platform(change: impl FnOnce(&mut PlatformConfig)) -> SoftPlatform {
    let mut config = PlatformConfig::default();
    change(&mut config);
    SoftPlatform::new(PlatformSeed::public("attestation tests"), config).unwrap()
}

pub(crate) fn os() -> OsMeasurement {
    OsMeasurement {
        mrtd: Mrtd::new([0xd0; 48]),
        rtmr0: Rtmr::new([0xd1; 48]),
        rtmr1: Rtmr::new([0xd2; 48]),
        rtmr2: Rtmr::new([0xd3; 48]),
    }
}

pub(crate) fn collateral(platform: &SoftPlatform) -> Collateral {
    Collateral::from_json(&platform.collateral(NOW).unwrap().to_json().unwrap()).unwrap()
}

pub(crate) fn roots(platform: &SoftPlatform) -> TrustRoots {
    TrustRoots::new([platform.root()])
}

fn verify_config(platform: &SoftPlatform, config: TdConfig) -> Result<VerifiedTd, AttestationError> {
    let quote = platform.launch(config).quote(&ReportData::new([7; 64])).unwrap();
    verify_td(&quote, &collateral(platform), NOW, &roots(platform))
}

/// Verdict on a quote of `version` from `platform`.
fn verify(platform: &SoftPlatform, version: QuoteVersion) -> Result<VerifiedTd, AttestationError> {
    let mut config = TdConfig::new(os());
    config.format.version = version;
    verify_config(platform, config)
}

/// Verdict on a quote whose report was edited before it was signed.
fn verify_edited(
    version: QuoteVersion,
    edit: impl Fn(&mut TdReport) + Send + Sync + 'static,
) -> Result<VerifiedTd, AttestationError> {
    let platform = platform(|_| ());
    let mut config = TdConfig::new(os());
    config.format.version = version;
    let quote = platform
        .launch(config)
        .with_edit(edit)
        .quote(&ReportData::ZERO)
        .unwrap();
    verify_td(&quote, &collateral(&platform), NOW, &roots(&platform))
}

#[track_caller]
fn refused(result: Result<VerifiedTd, AttestationError>, check: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.check(), check, "{error}");
}

/// Refused in every version by `check`, when the platform is changed so.
#[track_caller]
fn refused_platform(check: &str, change: impl Fn(&mut PlatformConfig)) {
    for version in VERSIONS {
        refused(verify(&platform(&change), version), check);
    }
}

#[test]
fn a_platform_in_good_order_verifies_in_every_version() {
    let platform = platform(|_| ());
    for version in VERSIONS {
        let td = verify(&platform, version).unwrap();
        assert_eq!(td.os_measurement(), os());
        assert_eq!(td.attestation_root(), platform.root());
        assert_eq!(td.device_id(), platform.device_id());
        assert_eq!(td.tcb_status(), TcbStatus::UpToDate);
        assert_eq!(td.report_data(), ReportData::new([7; 64]));
    }
}

#[test]
fn q1_another_root_with_the_same_names_is_refused() {
    let ours = platform(|_| ());
    let theirs = SoftPlatform::new(PlatformSeed::public("another"), PlatformConfig::default()).unwrap();
    let quote = theirs
        .launch(TdConfig::new(os()))
        .quote(&ReportData::ZERO)
        .unwrap();
    refused(verify_td(&quote, &collateral(&theirs), NOW, &roots(&ours)), "Q1");
    // Nor does our collateral make their chain ours.
    refused(verify_td(&quote, &collateral(&ours), NOW, &roots(&ours)), "Q1");
    let both = TrustRoots::new([ours.root(), theirs.root()]);
    assert!(verify_td(&quote, &collateral(&ours), NOW, &both).is_err());
    verify_td(&quote, &collateral(&theirs), NOW, &both).unwrap();
}

#[test]
fn q1_broken_signatures_below_the_chain_are_refused() {
    let platform = platform(|_| ());
    for fault in 0..3 {
        let mut config = TdConfig::new(os());
        config.format.wrong_attestation_signature = fault == 0;
        config.format.wrong_qe_signature = fault == 1;
        config.format.unbound_attestation_key = fault == 2;
        refused(verify_config(&platform, config), "Q1");
    }
}

#[test]
fn q1_quoting_enclave_that_is_not_the_published_one_is_refused() {
    refused_platform("Q1", |c| c.hardware.qe.mr_signer = [0x66; 32]);
    refused_platform("Q1", |c| c.hardware.qe.isv_prod_id = 9);
    refused_platform("Q1", |c| c.hardware.qe.attributes[0] |= 0x40);
}

#[test]
fn q2_revoked_certificates_are_refused() {
    let revoked = CertificateFault {
        validity: Validity::Current,
        revoked: true,
    };
    refused_platform("Q2", |c| c.certificates.pck = revoked);
    refused_platform("Q2", |c| c.certificates.platform_ca = revoked);
    refused_platform("Q2", |c| c.certificates.tcb_signer = revoked);
    refused_platform("Q2", |c| c.certificates.root = revoked);
}

#[test]
fn q2_certificates_out_of_their_time_are_refused() {
    for validity in [Validity::Expired, Validity::NotYetValid] {
        let fault = CertificateFault {
            validity,
            revoked: false,
        };
        refused_platform("Q2", |c| c.certificates.pck = fault);
        refused_platform("Q2", |c| c.certificates.platform_ca = fault);
        refused_platform("Q2", |c| c.certificates.tcb_signer = fault);
        refused_platform("Q2", |c| c.certificates.root = fault);
    }
}

#[test]
fn q2_revocation_lists_out_of_their_time_are_refused() {
    for validity in [Validity::Expired, Validity::NotYetValid] {
        refused_platform("Q2", |c| c.published.root_crl = validity);
        refused_platform("Q2", |c| c.published.pck_crl = validity);
    }
}

#[test]
fn q3_tcb_info_and_qe_identity_out_of_their_time_are_refused() {
    for validity in [Validity::Expired, Validity::NotYetValid] {
        refused_platform("Q3", |c| c.published.tcb_info = validity);
        refused_platform("Q3", |c| c.published.qe_identity = validity);
    }
}

#[test]
fn q3_tcb_info_of_another_pce_is_refused() {
    for version in VERSIONS {
        let error = verify(&platform(|c| c.published.pce_id = Some([0, 1])), version).unwrap_err();
        assert_eq!((error.check(), error.actual().as_str()), ("Q3", "0000"));
        assert_eq!(error.expected(), "PCE ID of PCK certificate and TCB info: 0001");
    }
}

#[test]
fn q3_tcb_info_of_another_fmspc_is_refused() {
    refused_platform("Q3", |c| c.published.fmspc = Some(Fmspc::new([1; 6])));
}

#[test]
fn q3_lower_evaluation_number_of_both_documents_counts() {
    for (tcb_info, qe_identity) in [(20, 18), (18, 20)] {
        let platform = platform(|c| {
            c.published.tcb_info_evaluation = tcb_info;
            c.published.qe_identity_evaluation = qe_identity;
        });
        let td = verify(&platform, QuoteVersion::V4).unwrap();
        assert_eq!(td.tcb_evaluation_data_number(), 18);
        assert_eq!(collateral(&platform).tcb_evaluation_data_number(), 18);
    }
}

#[test]
fn q4_debug_td_is_refused() {
    for version in VERSIONS {
        refused(verify_edited(version, |r| r.attributes |= 1), "Q4");
    }
}

#[test]
fn q4_every_attribute_bit_is_allowed_by_name_or_refused() {
    let allowed = [16, 27, 30, 63];
    for bit in 0..64 {
        if bit == 28 {
            refused(verify_edited(QuoteVersion::V4, |r| r.attributes = 0), "Q4");
            continue;
        }
        let result = verify_edited(QuoteVersion::V4, move |r| r.attributes |= 1 << bit);
        assert_eq!(result.is_ok(), allowed.contains(&bit), "bit {bit}");
        if let Err(error) = result {
            assert_eq!(error.check(), "Q4", "bit {bit}");
        }
    }
}

#[test]
fn q4_every_xfam_bit_is_allowed_by_name_or_refused() {
    let allowed = [0, 1, 2, 5, 6, 7, 8, 9, 11, 12, 14, 15, 17, 18];
    for bit in 0..64_u32 {
        let result = verify_edited(QuoteVersion::V4, move |r| r.xfam = 3 | 1 << bit);
        assert_eq!(result.is_ok(), allowed.contains(&bit), "bit {bit}");
        if let Err(error) = result {
            assert_eq!(error.check(), "Q4", "bit {bit}");
        }
    }
    for missing in [0, 1, 2] {
        refused(verify_edited(QuoteVersion::V4, move |r| r.xfam = missing), "Q4");
    }
}

#[test]
fn q4_tdx_modules_that_are_not_in_production_are_refused() {
    for version in VERSIONS {
        refused(verify_edited(version, |r| r.seam_attributes = 1), "Q4");
        refused(verify_edited(version, |r| r.mr_signer_seam[0] = 1), "Q4");
    }
    // Not even when the published identity names them.
    refused_platform("Q4", |c| {
        c.published.mr_signer_seam = [9; 48];
        c.hardware.mr_signer_seam = [9; 48];
    });
    refused_platform("Q4", |c| c.published.mr_signer_seam = [9; 48]);
}

#[test]
fn q4_service_tds_are_refused() {
    refused(
        verify_edited(QuoteVersion::V5Td15, |r| r.mr_service_td[47] = 1),
        "Q4",
    );
}

#[test]
fn q5_revoked_statuses_are_refused() {
    refused_platform("Q5", |c| c.published.tcb_status = TcbStatus::Revoked);
    refused_platform("Q5", |c| c.published.module_status = TcbStatus::Revoked);
    refused_platform("Q5", |c| c.published.qe_status = TcbStatus::Revoked);
}

#[test]
fn q5_platforms_below_every_level_are_refused() {
    refused_platform("Q5", |c| c.published.newest_cpu_svn = Some([255; 16]));
    refused_platform("Q5", |c| c.published.module_svn = Some(200));
    refused_platform("Q5", |c| c.hardware.qe.isv_svn = 0);
}

#[test]
fn q5_every_other_status_is_reported_with_its_advisories() {
    for status in [
        TcbStatus::UpToDate,
        TcbStatus::SWHardeningNeeded,
        TcbStatus::ConfigurationNeeded,
        TcbStatus::ConfigurationAndSWHardeningNeeded,
        TcbStatus::OutOfDate,
        TcbStatus::OutOfDateConfigurationNeeded,
    ] {
        let platform = platform(|c| {
            c.published.tcb_status = status;
            c.published.advisories = vec!["INTEL-SA-00002".into(), "INTEL-SA-00001".into()];
        });
        for version in VERSIONS {
            let td = verify(&platform, version).unwrap();
            assert_eq!(td.tcb_status(), status);
            assert_eq!(td.advisory_ids(), ["INTEL-SA-00001", "INTEL-SA-00002"]);
        }
    }
    for change in [
        (|c: &mut PlatformConfig| c.published.module_status = TcbStatus::OutOfDate)
            as fn(&mut PlatformConfig),
        |c| c.published.qe_status = TcbStatus::OutOfDate,
    ] {
        let td = verify(&platform(change), QuoteVersion::V4).unwrap();
        assert_eq!(td.tcb_status(), TcbStatus::OutOfDate);
    }
}

#[test]
fn q5_current_tcb_that_fell_behind_is_not_hidden_by_the_launch() {
    let mut newest = PlatformConfig::default().hardware.tee_tcb_svn;
    newest[2] += 1;
    let platform = platform(|c| {
        c.published.older_level = true;
        c.published.newest_tee_tcb_svn = Some(newest);
        c.hardware.tee_tcb_svn2 = Some(c.hardware.tee_tcb_svn);
        c.hardware.tee_tcb_svn = newest;
    });
    let td = verify(&platform, QuoteVersion::V5Td15).unwrap();
    assert_eq!(td.tcb_status(), TcbStatus::OutOfDate);
    // The other way round a relaunch is advised.
    let platform = platform
        .changed(|c| c.hardware.tee_tcb_svn2 = c.hardware.tee_tcb_svn2.map(|_| newest))
        .unwrap();
    let platform = platform.changed(|c| c.hardware.tee_tcb_svn[2] -= 1).unwrap();
    let td = verify(&platform, QuoteVersion::V5Td15).unwrap();
    assert_eq!(td.tcb_status(), TcbStatus::TDRelaunchAdvised);
}

#[test]
fn q6_certification_types_are_refused() {
    let platform = platform(|_| ());
    for kind in [0, 1, 2, 3, 4, 5, 7] {
        let mut config = TdConfig::new(os());
        config.format.outer_certification_type = kind;
        refused(verify_config(&platform, config), "Q6");
    }
    for kind in [1, 2, 3, 4, 6] {
        let mut config = TdConfig::new(os());
        config.format.inner_certification_type = kind;
        refused(verify_config(&platform, config), "Q6");
    }
    let mut config = TdConfig::new(os());
    config.format.tee_type = 0;
    refused(verify_config(&platform, config), "Q6");
}

#[test]
fn q8_trailing_bytes_are_refused() {
    let platform = platform(|_| ());
    let mut config = TdConfig::new(os());
    config.format.trailing = vec![0, 0, 1];
    refused(verify_config(&platform, config), "Q8");
}

#[test]
fn known_certifications_end_with_what_they_rest_on() {
    let platform = platform(|_| ());
    let verifier = Verifier::new(4);
    let quote = platform
        .launch(TdConfig::new(os()))
        .quote(&ReportData::ZERO)
        .unwrap();
    let (collateral, roots) = (collateral(&platform), roots(&platform));
    let warm = |now| {
        verifier
            .verify(&quote, &collateral, now, &roots)
            .map(|td| td.certified_warm())
    };
    assert_eq!(warm(NOW), Ok(false));
    assert_eq!(warm(NOW), Ok(true));
    // Earlier than it was verified: looked at again.
    assert_eq!(warm(UnixTime(NOW.0 - 1)), Ok(false));
    let end = collateral.valid_until();
    assert_eq!(warm(UnixTime(end.0 - 1)), Ok(true));
    assert!(warm(end).is_err() || warm(end) == Ok(false));
    assert!(warm(UnixTime(end.0 + 1)).is_err());
}

#[test]
fn another_collateral_is_another_certification() {
    let platform = platform(|_| ());
    let verifier = Verifier::new(4);
    let quote = platform
        .launch(TdConfig::new(os()))
        .quote(&ReportData::ZERO)
        .unwrap();
    let roots = roots(&platform);
    verifier
        .verify(&quote, &collateral(&platform), NOW, &roots)
        .unwrap();
    let revoked = platform.changed(|c| c.certificates.pck.revoked = true).unwrap();
    let error = verifier
        .verify(&quote, &collateral(&revoked), NOW, &roots)
        .unwrap_err();
    assert_eq!(error.check(), "Q2");
    let old = platform
        .changed(|c| c.published.tcb_status = TcbStatus::OutOfDate)
        .unwrap();
    let td = verifier.verify(&quote, &collateral(&old), NOW, &roots).unwrap();
    assert_eq!(
        (td.tcb_status(), td.certified_warm()),
        (TcbStatus::OutOfDate, false)
    );
}
