//! Quotes of every kind verify under the platform's own root and no other.

use crate::{NOW, collateral, measurement, platform, quote, verify};
use dcap_qvl::verify::QuoteVerifier;
use kms_types::{AttestationRoot, DeviceId, ReportData, TdConfigId};
use soft_td::{PlatformConfig, PlatformSeed, QuoteVersion, SoftPlatform, TdConfig};
use td_quote::Td;

const VERSIONS: [QuoteVersion; 3] = [QuoteVersion::V4, QuoteVersion::V5Td10, QuoteVersion::V5Td15];

fn config(version: QuoteVersion) -> TdConfig {
    let mut config = TdConfig::new(measurement());
    config.format.version = version;
    config.mr_config_id = TdConfigId::new([0xc1; 48]);
    config
}

#[test]
fn every_kind_verifies_and_says_what_the_td_is() {
    let platform = platform();
    let published = collateral(&platform);
    for version in VERSIONS {
        let td = platform.launch(config(version));
        let first = td.extend("app-id", &[1; 20]).unwrap();
        td.extend("compose-hash", &[2; 32]).unwrap();
        let verified = verify(
            &platform,
            &td.quote(&ReportData::new([9; 64])).unwrap(),
            &published,
        )
        .unwrap();
        assert_eq!(
            (verified.status.as_str(), verified.advisory_ids.len()),
            ("UpToDate", 0),
            "{version:?}"
        );
        let body = verified.report.as_td10().unwrap();
        assert_eq!(body.mr_td, [0xa0; 48]);
        assert_eq!(
            (body.rt_mr0, body.rt_mr1, body.rt_mr2),
            ([0xa1; 48], [0xa2; 48], [0xa3; 48])
        );
        assert_eq!(body.rt_mr3, td.rtmr3().to_bytes());
        assert_eq!(body.report_data, [9; 64]);
        assert_eq!(body.mr_config_id, [0xc1; 48]);
        assert_eq!(body.mr_seam, platform.config().hardware.mr_seam.to_bytes());
        assert_eq!(DeviceId::of_ppid(&verified.ppid), platform.device_id());
        assert_eq!(td.event_log().unwrap()[0], first);
    }
}

#[test]
fn register_follows_the_log() {
    let td = platform().launch(config(QuoteVersion::V4));
    for (name, payload) in [
        ("system-preparing", &[][..]),
        ("app-id", &[3; 20]),
        ("boot-mr-done", &[]),
    ] {
        td.extend(name, payload).unwrap();
    }
    let replayed = td
        .event_log()
        .unwrap()
        .iter()
        .fold(kms_types::Rtmr::ZERO, |register, entry| entry.extend(&register));
    assert_eq!(replayed, td.rtmr3());
    assert!(!replayed.is_zero());
}

#[test]
fn intel_root_refuses_the_simulated_one() {
    for names in [soft_td::Names::Simulated, soft_td::Names::AsIntel] {
        let platform = platform().changed(|c| c.names = names).unwrap();
        let quote = quote(&platform, config(QuoteVersion::V4));
        let refused = QuoteVerifier::new_prod().verify(&quote, &collateral(&platform), NOW.0);
        assert!(refused.is_err(), "{names:?} passed for Intel's");
        assert!(
            verify(&platform, &quote, &collateral(&platform)).is_ok(),
            "{names:?}"
        );
    }
}

#[test]
fn another_seed_is_another_root_and_device() {
    let (one, other) = (
        platform(),
        SoftPlatform::new(PlatformSeed::public("other"), PlatformConfig::default()).unwrap(),
    );
    assert_ne!(one.root(), other.root());
    assert_ne!(one.device_id(), other.device_id());
    let quote = quote(&one, config(QuoteVersion::V4));
    assert!(verify(&other, &quote, &collateral(&one)).is_err());
    assert!(verify(&other, &quote, &collateral(&other)).is_err());
}

#[test]
fn same_seed_same_bytes() {
    let (one, again) = (platform(), platform());
    assert_eq!(one.root_certificate(), again.root_certificate());
    assert_eq!(one.collateral(NOW).unwrap(), again.collateral(NOW).unwrap());
    assert_eq!(
        quote(&one, config(QuoteVersion::V5Td15)),
        quote(&again, config(QuoteVersion::V5Td15))
    );
}

#[test]
fn collateral_is_issued_once_a_period() {
    let platform = platform();
    let at = |seconds| {
        platform
            .collateral(kms_types::UnixTime(NOW.0 - NOW.0 % 86_400 + seconds))
            .unwrap()
    };
    assert_eq!(at(0), at(86_399));
    assert_ne!(at(86_399), at(86_400));
}

#[test]
fn root_is_the_hash_of_the_key_in_the_certificate() {
    let platform = platform();
    // SubjectPublicKeyInfo of a P-256 key: a fixed 26-byte head, then the 65-byte point.
    let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let der = platform.root_certificate();
    let at = der.windows(head.len()).position(|w| w == head).unwrap();
    assert_eq!(platform.root(), AttestationRoot::of_spki(&der[at..at + 91]));
}

#[test]
fn sealing_key_belongs_to_platform_image_and_context() {
    let platform = platform();
    let key = |config: TdConfig, context: &[u8]| *platform.launch(config).sealing_key(context).unwrap();
    let base = key(config(QuoteVersion::V4), b"a");
    assert_eq!(base, key(config(QuoteVersion::V5Td15), b"a"));
    assert_ne!(base, key(config(QuoteVersion::V4), b"b"));
    let mut another = config(QuoteVersion::V4);
    another.measurement.rtmr2 = kms_types::Rtmr::ZERO;
    assert_ne!(base, key(another, b"a"));
    let other = SoftPlatform::new(PlatformSeed::public("other"), PlatformConfig::default()).unwrap();
    assert_ne!(
        base,
        *other.launch(config(QuoteVersion::V4)).sealing_key(b"a").unwrap()
    );
}
