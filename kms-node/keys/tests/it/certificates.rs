//! Certificates against an independent verifier (rustls-webpki), and names and lifetimes that are refused.

use crate::{
    support::{app, instance, keys, rng},
    vectors::der,
};
use kms_keys::{
    CaError, EpochKeys, KMS_SERVER_NAME, LeafRequest, MAX_LEAF_SECONDS, MAX_NODE_SECONDS, Validity,
    app_domain, instance_domain,
};
use kms_types::{AppId, UnixTime};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime as TlsTime},
    sign::CertifiedKey,
};
use std::{sync::Arc, time::Duration};
use x509_parser::prelude::*;

pub(crate) const NOW: UnixTime = UnixTime(1_767_225_600);

pub(crate) fn day() -> Validity {
    Validity::starting(NOW, 86_400)
}

/// Checks a chain [leaf, intermediates…] as a TLS client does that trusts `anchor` for `name`.
fn accepts(anchor: &[u8], chain: &[Vec<u8>], name: &str, at: UnixTime) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(anchor.to_vec())).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|c| CertificateDer::from(c.as_slice())).collect();
    let time = TlsTime::since_unix_epoch(Duration::from_secs(at.0));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier
        .verify_server_cert(&chain[0], &chain[1..], &name, &[], time)
        .map(|_| ())
}

pub(crate) struct Key(p256::ecdsa::SigningKey, Vec<u8>);

impl Key {
    pub(crate) fn new(byte: u8) -> Self {
        let secret = p256::ecdsa::SigningKey::from_slice(&[byte; 32]).unwrap();
        let point = secret.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Self(secret, point)
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }
    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        use p256::ecdsa::{DerSignature, signature::Signer};
        let signature: DerSignature = self.0.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

/// A request for some names.
pub(crate) fn csr(names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let params = rcgen::CertificateParams::new(names).unwrap();
    params.serialize_request(&Key::new(5)).unwrap().der().to_vec()
}

pub(crate) fn issue(
    keys: &EpochKeys,
    id: AppId,
    csr: &[u8],
    permitted: &[String],
) -> Result<[String; 3], CaError> {
    keys.issue_leaf(&LeafRequest {
        app: id,
        csr,
        permitted,
        validity: day(),
    })
}

#[test]
fn ca_certificates_are_the_same_at_every_node() {
    let (a, b) = (keys(1, 1), keys(1, 1));
    assert_eq!(a.identity(), b.identity());
    assert_eq!(a.app_ca(&app(1)).unwrap(), b.app_ca(&app(1)).unwrap());
    assert_eq!(a.app_ca(&app(1)).unwrap(), a.app_ca(&app(1)).unwrap());
    assert_ne!(a.app_ca(&app(1)).unwrap(), a.app_ca(&app(2)).unwrap());
}

#[test]
fn identity_is_the_hash_of_the_certified_key() {
    let keys = keys(1, 1);
    let certificate = der(&keys.identity().ca_certificate);
    let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
    assert_eq!(
        kms_types::KmsIdentity::of_spki(parsed.public_key().raw),
        keys.identity().kms_identity
    );
    let basic = parsed.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    assert_eq!(basic.value.path_len_constraint, Some(1));
}

#[test]
fn a_node_is_believed_under_its_names_while_it_lasts() {
    let keys = keys(1, 1);
    let tls = keys
        .node_tls(&["kms.example.org", "127.0.0.1"], day(), &mut rng(1))
        .unwrap();
    let ca = der(&keys.identity().ca_certificate);
    assert_eq!(tls.chain[1], ca);
    for name in [KMS_SERVER_NAME, "kms.example.org", "127.0.0.1"] {
        accepts(&ca, &tls.chain, name, NOW).unwrap();
    }
    accepts(&ca, &tls.chain, "other.example.org", NOW).unwrap_err();
    accepts(&ca, &tls.chain, KMS_SERVER_NAME, UnixTime(NOW.0 - 1)).unwrap_err();
    accepts(&ca, &tls.chain, KMS_SERVER_NAME, UnixTime(NOW.0 + 86_401)).unwrap_err();
    accepts(
        &der(&crate::support::keys(1, 2).identity().ca_certificate),
        &tls.chain,
        KMS_SERVER_NAME,
        NOW,
    )
    .unwrap_err();

    let key = PrivateKeyDer::Pkcs8(tls.key_pkcs8.to_vec().into());
    let chain = tls
        .chain
        .iter()
        .map(|c| CertificateDer::from(c.clone()))
        .collect();
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .unwrap()
        .keys_match()
        .unwrap();
}

#[test]
fn a_node_has_a_fresh_key_at_every_start() {
    let keys = keys(1, 1);
    let mut rng = rng(1);
    let (a, b) = (
        keys.node_tls(&[], day(), &mut rng).unwrap(),
        keys.node_tls(&[], day(), &mut rng).unwrap(),
    );
    assert_ne!(*a.key_pkcs8, *b.key_pkcs8);
}

#[test]
fn an_app_is_believed_under_its_names() {
    let keys = keys(1, 1);
    let permitted = [app_domain(&app(1)), instance_domain(&app(1), &instance(2))];
    let [leaf, app_ca, kms_ca] = issue(&keys, app(1), &csr(&[]), &permitted).unwrap();
    assert_eq!(kms_ca, keys.identity().ca_certificate);
    assert_eq!(app_ca, keys.app_ca(&app(1)).unwrap());
    let chain = [der(&leaf), der(&app_ca)];
    for name in &permitted {
        accepts(&der(&kms_ca), &chain, name, NOW).unwrap();
    }
    accepts(&der(&kms_ca), &chain, &app_domain(&app(2)), NOW).unwrap_err();
    // Under the app's CA alone too, as other instances of the app pin it.
    accepts(&der(&app_ca), &chain[..1], &permitted[0], NOW).unwrap();
    accepts(
        &der(&keys.app_ca(&app(2)).unwrap()),
        &chain[..1],
        &permitted[0],
        NOW,
    )
    .unwrap_err();
    accepts(&der(&keys.app_ca(&app(2)).unwrap()), &chain, &permitted[0], NOW).unwrap_err();
}

/// Defence in depth: were the key of an app's CA lost, its certificates would still end at the app's names.
#[test]
fn an_app_ca_cannot_speak_for_another_app_or_a_node() {
    let root = crate::support::root(1, 1);
    let keys = keys(1, 1);
    let app_ca = der(&keys.app_ca(&app(1)).unwrap());
    let stolen = kms_keys::Suite::p256(
        &kms_keys::KedgeV1,
        &root,
        kms_keys::Label::AppCa,
        &[app(1).as_ref()],
    )
    .unwrap();
    let secret = p256::ecdsa::SigningKey::from(stolen);
    let point = secret.verifying_key().to_encoded_point(false).as_bytes().to_vec();
    let mut ca = rcgen::CertificateParams::default();
    ca.distinguished_name = rcgen::DistinguishedName::new();
    ca.distinguished_name.push(
        rcgen::DnType::CommonName,
        format!("Kedge app {}", app(1).to_plain_hex()),
    );
    let issuer = rcgen::Issuer::from_params(&ca, Key(secret, point));
    let kms_ca = der(&keys.identity().ca_certificate);
    for (name, fine) in [
        (app_domain(&app(1)), true),
        (app_domain(&app(2)), false),
        (KMS_SERVER_NAME.to_owned(), false),
        ("example.org".to_owned(), false),
        ("127.0.0.1".to_owned(), false),
    ] {
        let mut forged = rcgen::CertificateParams::new(vec![name.clone()]).unwrap();
        forged.serial_number = Some(1u64.into());
        let forged = forged.signed_by(&Key::new(5), &issuer).unwrap().der().to_vec();
        let chain = [forged, app_ca.clone()];
        assert_eq!(accepts(&kms_ca, &chain, &name, NOW).is_ok(), fine, "{name}");
    }
}

/// A leaf under an app's CA cannot issue: path length zero, and no CA itself.
#[test]
fn a_leaf_cannot_issue() {
    let keys = keys(1, 1);
    let permitted = [app_domain(&app(1))];
    let [leaf, app_ca, kms_ca] = issue(&keys, app(1), &csr(&[]), &permitted).unwrap();
    let mut issuer = rcgen::CertificateParams::default();
    issuer.distinguished_name = rcgen::DistinguishedName::new();
    issuer
        .distinguished_name
        .push(rcgen::DnType::CommonName, app(1).to_plain_hex());
    let issuer = rcgen::Issuer::from_params(&issuer, Key::new(5));
    let mut below = rcgen::CertificateParams::new(permitted.to_vec()).unwrap();
    below.serial_number = Some(1u64.into());
    let below = below.signed_by(&Key::new(6), &issuer).unwrap().der().to_vec();
    accepts(
        &der(&kms_ca),
        &[below, der(&leaf), der(&app_ca)],
        &permitted[0],
        NOW,
    )
    .unwrap_err();
}

#[test]
fn names_are_limited_to_those_given_and_to_the_app() {
    let keys = keys(1, 1);
    let own = app_domain(&app(1));
    let permitted = [own.clone(), format!("*.{own}")];
    issue(&keys, app(1), &csr(&[&own]), &permitted).unwrap();
    issue(&keys, app(1), &csr(&[&permitted[1]]), &permitted).unwrap();
    let other = app_domain(&app(2));
    assert_eq!(
        issue(&keys, app(1), &csr(&[&own, &other]), &permitted).unwrap_err(),
        CaError::NameNotPermitted {
            permitted: permitted.to_vec(),
            actual: other.clone()
        }
    );
    // A fault of the caller is caught as well.
    for name in [
        other,
        KMS_SERVER_NAME.to_owned(),
        format!("x{own}"),
        format!("{own}."),
        format!("A.{own}"),
        String::new(),
    ] {
        let error = issue(&keys, app(1), &csr(&[]), std::slice::from_ref(&name)).unwrap_err();
        assert_eq!(
            error,
            CaError::Name {
                place: format!(" in {own}"),
                actual: name
            }
        );
    }
    assert_eq!(
        issue(&keys, app(1), &csr(&[]), &[]).unwrap_err(),
        CaError::NameCount { actual: 0 }
    );
    let many: Vec<String> = (0..17).map(|n| format!("n{n}.{own}")).collect();
    assert_eq!(
        issue(&keys, app(1), &csr(&[]), &many).unwrap_err(),
        CaError::NameCount { actual: 17 }
    );
}

#[test]
fn lifetimes_are_bounded() {
    let keys = keys(1, 1);
    let (csr, permitted) = (csr(&[]), [app_domain(&app(1))]);
    let leaf = |validity| {
        keys.issue_leaf(&LeafRequest {
            app: app(1),
            csr: &csr,
            permitted: &permitted,
            validity,
        })
    };
    let node = |validity| keys.node_tls(&[], validity, &mut rng(1)).map(|_| ());
    leaf(Validity::starting(NOW, MAX_LEAF_SECONDS)).unwrap();
    node(Validity::starting(NOW, MAX_NODE_SECONDS)).unwrap();
    for (validity, max_seconds) in [
        (Validity::starting(NOW, MAX_LEAF_SECONDS + 1), MAX_LEAF_SECONDS),
        (Validity::starting(NOW, 0), MAX_LEAF_SECONDS),
        (
            Validity {
                not_before: NOW,
                not_after: UnixTime(NOW.0 - 1),
            },
            MAX_LEAF_SECONDS,
        ),
        (
            Validity {
                not_before: UnixTime(u64::MAX - 60),
                not_after: UnixTime(u64::MAX),
            },
            MAX_LEAF_SECONDS,
        ),
    ] {
        let Validity {
            not_before,
            not_after,
        } = validity;
        assert_eq!(
            leaf(validity).unwrap_err(),
            CaError::Validity {
                max_seconds,
                not_before,
                not_after
            }
        );
    }
    node(Validity::starting(NOW, MAX_NODE_SECONDS + 1)).unwrap_err();
}

#[test]
fn node_names_are_names() {
    let keys = keys(1, 1);
    let node = |names: &[&str]| keys.node_tls(names, day(), &mut rng(1)).map(|_| ());
    node(&["::1", "a-b.example.org", KMS_SERVER_NAME]).unwrap();
    for name in [
        "",
        "a b",
        "A.example.org",
        "example.org.",
        "http://example.org",
        "-",
        "ä.example.org",
    ] {
        assert_eq!(
            node(&[name]).unwrap_err(),
            CaError::Name {
                place: String::new(),
                actual: name.to_owned()
            },
            "{name:?}"
        );
    }
    assert_eq!(node(&["a"; 16]).unwrap_err(), CaError::NameCount { actual: 17 });
}
