//! Requests that are refused.

use crate::{
    certificates::{Key, NOW, csr, day, issue},
    support::{app, keys},
    vectors::der,
};
use kms_keys::{CaError, LeafRequest, MAX_CSR_LEN, app_domain};
use proptest::prelude::*;
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use x509_parser::prelude::*;

fn refused(csr: &[u8]) -> CaError {
    issue(&keys(1, 1), app(1), csr, &[app_domain(&app(1))]).unwrap_err()
}

fn request(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    change(&mut params);
    params.serialize_request(&Key::new(5)).unwrap().der().to_vec()
}

#[test]
fn requested_usages_are_those_of_the_leaf() {
    let csr = request(|p| {
        p.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let permitted = [app_domain(&app(1))];
    let [leaf, ..] = issue(&keys(1, 1), app(1), &csr, &permitted).unwrap();
    let leaf = der(&leaf);
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.flags == 1);
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    assert_eq!(leaf.validity().not_before.timestamp(), NOW.0 as i64);
    assert_eq!(leaf.validity().not_after.timestamp(), NOW.0 as i64 + 86_400);
}

#[test]
fn the_subject_is_not_copied() {
    let csr = request(|p| {
        p.distinguished_name
            .push(rcgen::DnType::OrganizationName, "Somebody Else")
    });
    let [leaf, ..] = issue(&keys(1, 1), app(1), &csr, &[app_domain(&app(1))]).unwrap();
    let leaf = der(&leaf);
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    assert_eq!(
        leaf.subject().to_string(),
        format!("CN={}", app(1).to_plain_hex())
    );
}

#[test]
fn more_than_an_end_entity_may_do_is_refused() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "no CA",
            request(|p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
        ),
        (
            "key usage digitalSignature",
            request(|p| p.key_usages = vec![KeyUsagePurpose::KeyCertSign]),
        ),
        (
            "key usage digitalSignature",
            request(|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]),
        ),
        (
            "server and client authentication",
            request(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
        ),
        (
            "server and client authentication",
            request(|p| {
                p.extended_key_usages =
                    vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any]
            }),
        ),
        (
            "names and usages",
            request(|p| {
                p.custom_extensions = vec![CustomExtension::from_oid_content(
                    &[1, 3, 6, 1, 4, 1, 1],
                    vec![5, 0],
                )]
            }),
        ),
        (
            "DNS names only",
            request(|p| p.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())]),
        ),
        (
            "DNS names only",
            request(|p| p.subject_alt_names = vec![SanType::URI("https://example.org".try_into().unwrap())]),
        ),
    ];
    for (what, csr) in cases {
        match refused(&csr) {
            CaError::Extension { expected, .. } => assert_eq!(expected, what),
            other => panic!("{what}: {other}"),
        }
    }
}

#[test]
fn one_extension_twice_is_refused() {
    // Subject alternative name, once by the encoder and once by hand.
    let csr = request(|p| {
        p.subject_alt_names = vec![SanType::DnsName(app_domain(&app(1)).try_into().unwrap())];
        let again = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 3, 0x82, 1, b'a']);
        p.custom_extensions = vec![again];
    });
    assert!(matches!(
        refused(&csr),
        CaError::RequestForm { .. } | CaError::Extension { .. }
    ));
}

#[test]
fn a_request_by_another_key_is_refused() {
    let mut csr = csr(&[]);
    let last = csr.len() - 1;
    csr[last] ^= 1;
    assert_eq!(refused(&csr), CaError::RequestSignature);
}

#[test]
fn other_keys_are_refused() {
    let mut curve = csr(&[]);
    let prime256v1 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let at = curve.windows(8).position(|w| w == prime256v1).unwrap();
    curve[at + 7] = 6;
    assert_eq!(
        refused(&curve),
        CaError::KeyType {
            actual: "1.2.840.10045.3.1.6".to_owned()
        }
    );
    let mut algorithm = csr(&[]);
    let ecdsa_sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let at = algorithm.windows(8).rposition(|w| w == ecdsa_sha256).unwrap();
    algorithm[at + 7] = 3;
    assert_eq!(
        refused(&algorithm),
        CaError::KeyType {
            actual: "1.2.840.10045.4.3.3".to_owned()
        }
    );
}

#[test]
fn length_is_bounded_and_exact() {
    assert_eq!(
        refused(&vec![0x30; MAX_CSR_LEN + 1]),
        CaError::RequestTooLong {
            actual: MAX_CSR_LEN + 1
        }
    );
    assert!(matches!(refused(&[]), CaError::RequestForm { .. }));
    let mut longer = csr(&[]);
    longer.push(0);
    assert_eq!(
        refused(&longer),
        CaError::RequestForm {
            actual: "1 bytes after it".to_owned()
        }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        refused(&bytes);
    }
}

/// Every bit of a request is under its signature or is checked.
#[test]
fn a_request_with_any_bit_flipped_is_refused() {
    let csr = csr(&[&app_domain(&app(1))]);
    let keys = keys(1, 1);
    let permitted = [app_domain(&app(1))];
    for bit in 0..csr.len() * 8 {
        let mut changed = csr.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let request = LeafRequest {
            app: app(1),
            csr: &changed,
            permitted: &permitted,
            validity: day(),
        };
        assert!(keys.issue_leaf(&request).is_err(), "bit {bit}");
    }
}

#[test]
fn an_attestation_is_copied_and_bounded() {
    let with = |value: Vec<u8>, critical: bool| {
        request(|p| {
            let mut extension = CustomExtension::from_oid_content(&kms_keys::ATTESTATION_OID, value);
            extension.set_criticality(critical);
            p.custom_extensions = vec![extension];
        })
    };
    let max = kms_keys::MAX_ATTESTATION_LEN;
    let [leaf, ..] = issue(
        &keys(1, 1),
        app(1),
        &with(vec![7; max], false),
        &[app_domain(&app(1))],
    )
    .unwrap();
    let leaf = der(&leaf);
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    let found = leaf
        .extensions()
        .iter()
        .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.35")
        .unwrap();
    assert!(found.value == vec![7; max] && !found.critical);
    for csr in [with(vec![7; max + 1], false), with(vec![7], true)] {
        let error = refused(&csr).to_string();
        assert!(error.contains("32 KiB"), "{error}");
    }
}
