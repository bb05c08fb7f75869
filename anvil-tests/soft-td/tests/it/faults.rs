//! Every fault shows where it should: as the verifier's refusal, as a status, or not at all where the verifier leaves the
//! question to its caller.

use crate::{collateral, measurement, platform, quote, verify};
use kms_types::{Fmspc, TcbStatus};
use soft_td::{PlatformConfig, QuoteFormat, QuoteVersion, SoftPlatform, TdConfig, TdReport, Validity};
use td_quote::Td;

fn td() -> TdConfig {
    TdConfig::new(measurement())
}

/// What the verifier says of a platform with a fault: status and advisories, or the refusal.
fn judged(version: QuoteVersion, change: impl FnOnce(&mut PlatformConfig)) -> Result<String, String> {
    let platform = platform().changed(change).unwrap();
    let mut config = td();
    config.format.version = version;
    let report = verify(&platform, &quote(&platform, config), &collateral(&platform))?;
    Ok(format!("{} {}", report.status, report.advisory_ids.join(" "))
        .trim_end()
        .to_owned())
}

#[track_caller]
fn refused(expected: &str, change: impl FnOnce(&mut PlatformConfig)) {
    let said = judged(QuoteVersion::V4, change).expect_err("accepted");
    assert!(said.contains(expected), "expected {expected:?} in {said:?}");
}

#[track_caller]
fn accepted(expected: &str, change: impl FnOnce(&mut PlatformConfig)) {
    assert_eq!(judged(QuoteVersion::V4, change).expect("refused"), expected);
}

#[test]
fn published_statuses_come_through() {
    use TcbStatus::*;
    for status in [
        UpToDate,
        SWHardeningNeeded,
        ConfigurationNeeded,
        ConfigurationAndSWHardeningNeeded,
        OutOfDate,
        OutOfDateConfigurationNeeded,
    ] {
        accepted(&format!("{status} INTEL-SA-00001 INTEL-SA-00077"), |c| {
            c.published.tcb_status = status;
            c.published.advisories = vec!["INTEL-SA-00001".into(), "INTEL-SA-00077".into()];
        });
    }
    refused("Revoked", |c| c.published.tcb_status = Revoked);
    refused("Unrecognized TCB status", |c| {
        c.published.tcb_status = TDRelaunchAdvised
    });
    accepted("OutOfDate", |c| c.published.module_status = OutOfDate);
    accepted("OutOfDate", |c| c.published.qe_status = OutOfDate);
}

#[test]
fn relaunch_is_advised_when_the_tcb_moved_under_the_td() {
    let moved = |c: &mut PlatformConfig| {
        let mut newest = c.hardware.tee_tcb_svn;
        newest[2] += 1;
        c.hardware.tee_tcb_svn2 = Some(newest);
        c.published.newest_tee_tcb_svn = Some(newest);
        c.published.older_level = true;
    };
    assert_eq!(judged(QuoteVersion::V5Td15, moved).unwrap(), "TDRelaunchAdvised");
    assert_eq!(judged(QuoteVersion::V5Td10, moved).unwrap(), "OutOfDate");
}

#[test]
fn tcb_below_the_newest_level() {
    let newer = |c: &mut PlatformConfig| {
        let mut newest = c.hardware.cpu_svn;
        newest[0] += 1;
        c.published.newest_cpu_svn = Some(newest);
    };
    refused("No matching TCB level", newer);
    accepted("OutOfDate", |c| {
        newer(c);
        c.published.older_level = true;
    });
    refused("below minimum required", |c| {
        c.published.module_svn = Some(c.hardware.tee_tcb_svn[0] + 1)
    });
}

#[test]
fn dates() {
    for off in [Validity::Expired, Validity::NotYetValid] {
        assert!(
            judged(QuoteVersion::V4, |c| c.published.tcb_info = off).is_err(),
            "TCB info {off:?}"
        );
        assert!(
            judged(QuoteVersion::V4, |c| c.published.qe_identity = off).is_err(),
            "QE identity {off:?}"
        );
        assert!(
            judged(QuoteVersion::V4, |c| c.certificates.pck.validity = off).is_err(),
            "PCK {off:?}"
        );
        assert!(
            judged(QuoteVersion::V4, |c| c.certificates.platform_ca.validity = off).is_err(),
            "CA {off:?}"
        );
        assert!(
            judged(QuoteVersion::V4, |c| c.certificates.tcb_signer.validity = off).is_err(),
            "signer {off:?}"
        );
    }
    assert!(judged(QuoteVersion::V4, |c| c.published.root_crl = Validity::Expired).is_err());
    assert!(judged(QuoteVersion::V4, |c| c.published.pck_crl = Validity::Expired).is_err());
}

#[test]
fn revocations() {
    refused("CertRevoked", |c| c.certificates.pck.revoked = true);
    refused("CertRevoked", |c| c.certificates.platform_ca.revoked = true);
    refused("CertRevoked", |c| c.certificates.tcb_signer.revoked = true);
    assert!(judged(QuoteVersion::V4, |c| c.certificates.root.revoked = true).is_err());
}

#[test]
fn hardware_that_is_not_what_is_published() {
    refused("Fmspc mismatch", |c| c.published.fmspc = Some(Fmspc::new([1; 6])));
    refused("MRSIGNER mismatch", |c| c.hardware.mr_signer_seam[0] = 1);
    refused("SEAMATTRIBUTES mismatch", |c| c.hardware.seam_attributes = 1);
    for change in [
        (|c| c.hardware.qe.mr_signer[0] ^= 1) as fn(&mut PlatformConfig),
        |c| c.hardware.qe.isv_prod_id += 1,
        |c| c.hardware.qe.isv_svn -= 1,
        |c| c.hardware.qe.attributes[0] |= 2,
    ] {
        assert!(judged(QuoteVersion::V4, change).is_err());
    }
}

/// The questions this verifier leaves to its caller. Should it begin to ask them, this test says so.
#[test]
fn left_to_the_caller() {
    accepted("UpToDate", |c| c.published.pce_id = Some([0, 1]));
    accepted("UpToDate", |c| {
        c.hardware.mr_seam = kms_types::MrSeam::new([1; 48])
    });
    accepted("UpToDate", |c| c.published.tcb_info_evaluation = 1);
    let platform = platform();
    for format in [
        QuoteFormat {
            outer_certification_type: 7,
            ..QuoteFormat::default()
        },
        QuoteFormat {
            trailing: vec![0; 7],
            ..QuoteFormat::default()
        },
    ] {
        let mut config = td();
        config.format = format;
        assert!(verify(&platform, &quote(&platform, config), &collateral(&platform)).is_ok());
    }
}

#[test]
fn quote_signatures_and_header() {
    let platform = platform();
    let published = collateral(&platform);
    let good = QuoteFormat::default;
    for format in [
        QuoteFormat {
            wrong_attestation_signature: true,
            ..good()
        },
        QuoteFormat {
            wrong_qe_signature: true,
            ..good()
        },
        QuoteFormat {
            unbound_attestation_key: true,
            ..good()
        },
        QuoteFormat {
            inner_certification_type: 4,
            ..good()
        },
        QuoteFormat {
            tee_type: 0,
            ..good()
        },
    ] {
        let mut config = td();
        config.format = format.clone();
        assert!(
            verify(&platform, &quote(&platform, config), &published).is_err(),
            "{format:?}"
        );
    }
}

fn edited(
    platform: &SoftPlatform,
    edit: impl Fn(&mut TdReport) + Send + Sync + 'static,
) -> Result<(), String> {
    let mut config = td();
    config.format.version = QuoteVersion::V5Td15;
    let quote = platform
        .launch(config)
        .with_edit(edit)
        .quote(&kms_types::ReportData::ZERO)
        .unwrap();
    verify(platform, &quote, &collateral(platform)).map(|_| ())
}

#[test]
fn lies_in_the_report() {
    let platform = platform();
    assert!(edited(&platform, |_| ()).is_ok());
    for (bit, name) in [(0, "DEBUG"), (1, "TUD 1"), (29, "MIGRATABLE"), (33, "reserved")] {
        assert!(
            edited(&platform, move |r| r.attributes |= 1 << bit).is_err(),
            "{name}"
        );
    }
    assert!(
        edited(&platform, |r| r.attributes = 0).is_err(),
        "no SEPT_VE_DISABLE"
    );
    assert!(
        edited(&platform, |r| r.mr_service_td = [1; 48]).is_err(),
        "service TD"
    );
    assert!(
        edited(&platform, |r| r.tee_tcb_svn[1] = 9).is_err(),
        "unknown module version"
    );
    assert!(
        edited(&platform, |r| r.tee_tcb_svn2 = [0; 16]).is_err(),
        "TCB of now below all levels"
    );
}
