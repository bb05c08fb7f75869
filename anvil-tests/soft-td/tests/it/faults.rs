//! Every fault shows where it should: as the verifier's refusal, as a status, or not at all where the verifier leaves the
//! question to its caller.

use crate::{collateral, measurement, platform, quote, verify};
use kms_types::{Fmspc, TcbStatus};
use soft_td::{
    ATTRIBUTE_DEBUG, PlatformConfig, QuoteFormat, QuoteVersion, SoftPlatform, TdConfig, TdReport, Validity,
};
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
    type Set = fn(&mut PlatformConfig, Validity);
    let faults: [(Set, &str, &str); 5] = [
        (
            |c, off| c.published.tcb_info = off,
            "TCBInfo expired",
            "TCBInfo issue date is in the future",
        ),
        (
            |c, off| c.published.qe_identity = off,
            "QE Identity expired",
            "QE Identity issue date is in the future",
        ),
        (
            |c, off| c.certificates.pck.validity = off,
            "CertExpired",
            "CertNotValidYet",
        ),
        (
            |c, off| c.certificates.platform_ca.validity = off,
            "CertExpired",
            "CertNotValidYet",
        ),
        (
            |c, off| c.certificates.tcb_signer.validity = off,
            "CertExpired",
            "CertNotValidYet",
        ),
    ];
    for (set, expired, early) in faults {
        refused(expired, |c| set(c, Validity::Expired));
        refused(early, |c| set(c, Validity::NotYetValid));
    }
    refused("CrlExpired", |c| c.published.root_crl = Validity::Expired);
    refused("CrlExpired", |c| c.published.pck_crl = Validity::Expired);
}

#[test]
fn revocations() {
    refused("CertRevoked", |c| c.certificates.pck.revoked = true);
    refused("CertRevoked", |c| c.certificates.platform_ca.revoked = true);
    refused("CertRevoked", |c| c.certificates.tcb_signer.revoked = true);
    refused("CertRevoked", |c| c.certificates.root.revoked = true);
}

#[test]
fn hardware_that_is_not_what_is_published() {
    refused("Fmspc mismatch", |c| c.published.fmspc = Some(Fmspc::new([1; 6])));
    refused("MRSIGNER mismatch", |c| c.hardware.mr_signer_seam[0] = 1);
    refused("SEAMATTRIBUTES mismatch", |c| c.hardware.seam_attributes = 1);
    refused("QE MRSIGNER mismatch", |c| c.hardware.qe.mr_signer[0] ^= 1);
    refused("QE ISVPRODID mismatch", |c| c.hardware.qe.isv_prod_id += 1);
    refused("QE ISVSVN 3 is below", |c| c.hardware.qe.isv_svn -= 1);
    refused("Debug mode", |c| c.hardware.qe.attributes[0] |= 2);
}

/// The questions this verifier leaves to its caller. Should it begin to ask them, this test says so.
#[test]
fn left_to_the_caller() {
    accepted("UpToDate", |c| c.published.pce_id = Some([0, 1]));
    accepted("UpToDate", |c| {
        c.hardware.mr_seam = kms_types::MrSeam::new([1; 48])
    });
    accepted("UpToDate", |c| c.published.tcb_info_evaluation = 1);
    for off in [Validity::Expired, Validity::NotYetValid] {
        accepted("UpToDate", |c| c.certificates.root.validity = off);
    }
    accepted("UpToDate", |c| c.published.root_crl = Validity::NotYetValid);
    accepted("UpToDate", |c| c.published.pck_crl = Validity::NotYetValid);
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
    type Change = fn(&mut QuoteFormat);
    let formats: [(Change, &str); 5] = [
        (
            |f| f.wrong_attestation_signature = true,
            "report signature is invalid",
        ),
        (
            |f| f.wrong_qe_signature = true,
            "Signature is invalid for qe_report",
        ),
        (|f| f.unbound_attestation_key = true, "QE report hash mismatch"),
        (
            |f| f.inner_certification_type = 4,
            "Unsupported DCAP PCK cert format: 4",
        ),
        (|f| f.tee_type = 0, "Failed to decode quote"),
    ];
    for (change, expected) in formats {
        let mut config = td();
        change(&mut config.format);
        let said = verify(&platform, &quote(&platform, config), &published).expect_err(expected);
        assert!(said.contains(expected), "expected {expected:?} in {said:?}");
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
    assert_eq!(edited(&platform, |_| ()), Ok(()));
    type Lie = fn(&mut TdReport);
    let lies: [(Lie, &str); 8] = [
        (|r| r.attributes |= ATTRIBUTE_DEBUG, "Debug mode is enabled"),
        (|r| r.attributes |= 1 << 1, "Reserved bits in TD attributes"),
        (|r| r.attributes |= 1 << 29, "TD migration is enabled"),
        (|r| r.attributes |= 1 << 33, "Reserved bits in TD attributes"),
        (|r| r.attributes = 0, "SEPT_VE_DISABLE is not enabled"),
        (|r| r.mr_service_td = [1; 48], "Invalid MR service TD"),
        (|r| r.tee_tcb_svn[1] = 9, "No TDX module identity with id TDX_09"),
        (|r| r.tee_tcb_svn2 = [0; 16], "TEE_TCB_SVN2"),
    ];
    for (lie, expected) in lies {
        let said = edited(&platform, lie).expect_err(expected);
        assert!(said.contains(expected), "expected {expected:?} in {said:?}");
    }
}
