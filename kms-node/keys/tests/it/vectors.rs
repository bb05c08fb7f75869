//! The crate against the answers of the second implementation (`vectors/check.py`).

use crate::support::{Given, array, secret, unhex, vectors};
use kms_keys::{
    Argon2Cost, EpochKeys, EpochRoot, KedgeV1, Label, OpeningKey, Passphrase, PathLabel, RootFile, Secret,
    Suite, Wrapping, WrappingKey, app_domain, app_key_message, env_public_key_message, path_ed25519,
    path_key_message, path_p256, path_secp256k1, recover_prehash, seal, sign_prehash_with, verify_app_key,
    verify_env_public_key, verify_jws_es256k, verify_log, verify_prehash,
};
use kms_types::{AppId, InstanceId, KeyEpoch, UnixTime};
use serde::Deserialize;
use std::collections::BTreeSet;
use x509_parser::{pem::parse_x509_pem, prelude::Pem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Derivation {
    salt: String,
    keys: Vec<KeyCase>,
    paths: Vec<PathCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyCase {
    label: String,
    root: String,
    key_epoch: u32,
    app_id: Option<AppId>,
    instance_id: Option<InstanceId>,
    secret: String,
    public: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathCase {
    label: String,
    app_key: String,
    key_epoch: u32,
    path: String,
    secret: String,
    public: String,
}

fn root(epoch: u32, text: &str) -> EpochRoot {
    EpochRoot::from_secret(KeyEpoch(epoch), secret(text))
}

/// Secret and public bytes of a case, by the suite alone.
fn derived(case: &KeyCase) -> (String, Option<String>) {
    let root = root(case.key_epoch, &case.root);
    let label = *Label::ALL.iter().find(|l| l.as_str() == case.label).unwrap();
    let mut parts: Vec<&[u8]> = case.app_id.iter().map(AsRef::as_ref).collect();
    parts.extend(case.instance_id.iter().map(|i| i.as_ref() as &[u8]));
    let small = || {
        let mut out = [0; 32];
        KedgeV1.bytes(&root, label, &parts, &mut out).unwrap();
        out
    };
    match label {
        Label::AppDisk => {
            let mut out = [0; 64];
            KedgeV1.bytes(&root, label, &parts, &mut out).unwrap();
            (hex::encode(out), None)
        }
        Label::AppEnv | Label::KmsHpke => {
            let key = OpeningKey::from_secret(Secret::new(Box::new(small()))).unwrap();
            (hex::encode(small()), Some(hex::encode(key.public())))
        }
        Label::KmsLog => {
            let key = ed25519_dalek::SigningKey::from_bytes(&small());
            (
                hex::encode(small()),
                Some(hex::encode(key.verifying_key().to_bytes())),
            )
        }
        Label::AppK256 | Label::KmsK256 => {
            let key = KedgeV1.k256(&root, label, &parts).unwrap();
            (
                hex::encode(key.to_bytes()),
                Some(hex::encode(key.public_key().to_sec1_bytes())),
            )
        }
        Label::AppCa | Label::KmsCa => {
            use p256::elliptic_curve::sec1::ToEncodedPoint;
            let key = KedgeV1.p256(&root, label, &parts).unwrap();
            let point = key.public_key().to_encoded_point(false);
            (hex::encode(key.to_bytes()), Some(hex::encode(point.as_bytes())))
        }
    }
}

#[test]
fn every_label_derives_the_known_key() {
    let known: Derivation = vectors("derivation");
    assert_eq!(known.salt, KedgeV1.name());
    for case in &known.keys {
        assert_eq!(
            derived(case),
            (case.secret.clone(), case.public.clone()),
            "{} of epoch {}",
            case.label,
            case.key_epoch
        );
    }
    let labels: BTreeSet<_> = known.keys.iter().map(|c| c.label.as_str()).collect();
    assert_eq!(
        labels,
        Label::ALL.iter().map(|l| l.as_str()).collect(),
        "a label without a known answer"
    );
}

#[test]
fn no_two_derivations_share_bytes() {
    let known: Derivation = vectors("derivation");
    let mut seen = BTreeSet::new();
    for case in &known.keys {
        let secret = unhex(&case.secret);
        assert!(
            seen.insert(secret[..32].to_vec()),
            "{}: same bytes as another key",
            case.label
        );
    }
    for case in &known.paths {
        assert!(
            seen.insert(unhex(&case.secret)),
            "{} {:?}: same bytes as another key",
            case.label,
            case.path
        );
    }
}

#[test]
fn every_path_derives_the_known_key() {
    let known: Derivation = vectors("derivation");
    for case in &known.paths {
        let app_key = secret(&case.app_key);
        let (derived, public) = if case.label == PathLabel::Secp256k1.as_str() {
            let key = path_secp256k1(&app_key, KeyEpoch(case.key_epoch), &case.path).unwrap();
            let public = k256::SecretKey::from_slice(key.expose())
                .unwrap()
                .public_key()
                .to_sec1_bytes();
            (key, public.to_vec())
        } else if case.label == PathLabel::P256.as_str() {
            let key = path_p256(&app_key, KeyEpoch(case.key_epoch), &case.path).unwrap();
            let public = p256::SecretKey::from_slice(key.expose()).unwrap().public_key();
            let public = p256::EncodedPoint::from(public).compress();
            (key, public.as_bytes().to_vec())
        } else {
            assert_eq!(case.label, PathLabel::Ed25519.as_str());
            let key = path_ed25519(&app_key, KeyEpoch(case.key_epoch), &case.path).unwrap();
            let public = ed25519_dalek::SigningKey::from_bytes(key.expose())
                .verifying_key()
                .to_bytes();
            (key, public.to_vec())
        };
        assert_eq!(
            hex::encode(derived.expose()),
            case.secret,
            "{} {:?}",
            case.label,
            case.path
        );
        assert_eq!(hex::encode(public), case.public, "{} {:?}", case.label, case.path);
    }
}

#[test]
fn epoch_keys_are_the_keys_of_the_labels() {
    let known: Derivation = vectors("derivation");
    for case in known
        .keys
        .iter()
        .filter(|c| c.app_id.is_some() && c.label == "app/k256")
    {
        let keys = EpochKeys::derive(root(case.key_epoch, &case.root)).unwrap();
        let app = case.app_id.unwrap();
        let of = |label: &str| {
            known.keys.iter().find(|c| {
                c.label == label
                    && (&c.root, c.key_epoch) == (&case.root, case.key_epoch)
                    && c.app_id.is_none_or(|id| id == app)
            })
        };
        let disk = of("app/disk/luks2-xts-512").unwrap();
        let secrets = keys.app_keys(&app, &disk.instance_id.unwrap()).unwrap();
        assert_eq!(hex::encode(secrets.disk_key.expose()), disk.secret);
        assert_eq!(
            hex::encode(secrets.env_key.expose()),
            of("app/env/x25519").unwrap().secret
        );
        assert_eq!(hex::encode(secrets.app_key.expose()), case.secret);
        let public = |label| of(label).and_then(|c| c.public.clone()).unwrap();
        assert_eq!(hex::encode(secrets.app_public_key), public("app/k256"));
        assert_eq!(hex::encode(keys.identity().k256_public_key), public("kms/k256"));
        assert_eq!(
            hex::encode(keys.identity().log_public_key),
            public("kms/log/ed25519")
        );
        assert_eq!(
            hex::encode(keys.identity().hpke_public_key),
            public("kms/hpke/x25519")
        );
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signatures {
    root: String,
    key_epoch: u32,
    k256_public_key: String,
    log_public_key: String,
    apps: Vec<AppSignatures>,
    prehashes: Vec<Prehash>,
    jws: Jws,
    log: Log,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppSignatures {
    app_id: AppId,
    app_public_key: String,
    app_key_message: String,
    app_key_signature: String,
    env_public_key: String,
    time: u64,
    env_message: String,
    env_signature: String,
    env_legacy_message: String,
    env_legacy_signature: String,
    path: String,
    path_purpose: String,
    path_public_key: String,
    path_message: String,
    path_signature: String,
}

#[derive(Deserialize)]
struct Prehash {
    prehash: String,
    signature: String,
}

#[derive(Deserialize)]
struct Jws {
    payload: String,
    token: String,
}

#[derive(Deserialize)]
struct Log {
    message: String,
    signature: String,
}

#[test]
fn signatures_are_the_known_ones() {
    let known: Signatures = vectors("signatures");
    let keys = EpochKeys::derive(root(known.key_epoch, &known.root)).unwrap();
    let kms = array::<33>(&known.k256_public_key);
    assert_eq!(keys.identity().k256_public_key, kms);
    assert_eq!(hex::encode(keys.identity().log_public_key), known.log_public_key);
    for case in &known.prehashes {
        let prehash = array(&case.prehash);
        let signature = keys.sign_prehash(&prehash).unwrap();
        assert_eq!(hex::encode(signature), case.signature);
        assert_eq!(recover_prehash(&prehash, &signature).unwrap(), kms);
    }
    assert_eq!(
        keys.sign_jws_es256k(known.jws.payload.as_bytes()).unwrap(),
        known.jws.token
    );
    assert_eq!(
        verify_jws_es256k(&known.jws.token, &kms).unwrap(),
        known.jws.payload.as_bytes()
    );
    let message = unhex(&known.log.message);
    assert_eq!(hex::encode(keys.sign_log(&message)), known.log.signature);
    verify_log(
        &keys.identity().log_public_key,
        &message,
        &unhex(&known.log.signature),
    )
    .unwrap();
}

#[test]
fn app_and_env_signatures_are_the_known_ones() {
    let known: Signatures = vectors("signatures");
    let keys = EpochKeys::derive(root(known.key_epoch, &known.root)).unwrap();
    let kms = array::<33>(&known.k256_public_key);
    for case in &known.apps {
        let (app, app_public) = (&case.app_id, array::<33>(&case.app_public_key));
        assert_eq!(
            hex::encode(app_key_message(app, &app_public)),
            case.app_key_message
        );
        let secrets = keys.app_keys(app, &InstanceId::ZERO).unwrap();
        assert_eq!(secrets.app_public_key, app_public);
        assert_eq!(hex::encode(secrets.app_key_signature), case.app_key_signature);
        verify_app_key(&kms, app, &app_public, &secrets.app_key_signature).unwrap();

        let time = UnixTime(case.time);
        let env = keys.sign_env_public_key(app, time).unwrap();
        assert_eq!(hex::encode(env.public_key), case.env_public_key);
        assert_eq!(
            hex::encode(env_public_key_message(app, Some(time), &env.public_key)),
            case.env_message
        );
        assert_eq!(
            hex::encode(env_public_key_message(app, None, &env.public_key)),
            case.env_legacy_message
        );
        assert_eq!(hex::encode(env.signature), case.env_signature);
        assert_eq!(hex::encode(env.legacy_signature), case.env_legacy_signature);
        verify_env_public_key(&kms, app, Some(time), &env.public_key, &env.signature).unwrap();
        verify_env_public_key(&kms, app, None, &env.public_key, &env.legacy_signature).unwrap();
        verify_env_public_key(&kms, app, None, &env.public_key, &env.signature).unwrap_err();

        let path_key = path_secp256k1(&secrets.app_key, KeyEpoch(known.key_epoch), &case.path).unwrap();
        let path_public = k256::SecretKey::from_slice(path_key.expose())
            .unwrap()
            .public_key()
            .to_sec1_bytes();
        assert_eq!(hex::encode(&path_public), case.path_public_key);
        let message = path_key_message(&case.path_purpose, &path_public);
        assert_eq!(hex::encode(message), case.path_message);
        let signature = sign_prehash_with(&secrets.app_key, &message).unwrap();
        assert_eq!(hex::encode(signature), case.path_signature);
        verify_prehash(&app_public, &message, &signature).unwrap();
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Certificates {
    root: String,
    key_epoch: u32,
    kms_identity: String,
    kms_ca: String,
    app_id: AppId,
    app_domain: String,
    app_ca: String,
}

pub(crate) fn der(pem: &str) -> Vec<u8> {
    let (_, Pem { contents, .. }) = parse_x509_pem(pem.as_bytes()).unwrap();
    contents
}

#[test]
fn ca_certificates_are_the_known_ones_to_the_byte() {
    for case in vectors::<Vec<Certificates>>("certificates") {
        let keys = EpochKeys::derive(root(case.key_epoch, &case.root)).unwrap();
        assert_eq!(hex::encode(der(&keys.identity().ca_certificate)), case.kms_ca);
        assert_eq!(keys.identity().kms_identity.to_plain_hex(), case.kms_identity);
        assert_eq!(app_domain(&case.app_id), case.app_domain);
        assert_eq!(hex::encode(der(&keys.app_ca(&case.app_id).unwrap())), case.app_ca);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hpke {
    recipient_secret: String,
    recipient_public: String,
    ephemeral_ikm: String,
    info: String,
    aad: String,
    plaintext: String,
    enc: String,
    ciphertext: String,
}

#[test]
fn seals_are_the_known_ones() {
    for case in vectors::<Vec<Hpke>>("hpke") {
        let key = OpeningKey::from_secret(secret(&case.recipient_secret)).unwrap();
        assert_eq!(hex::encode(key.public()), case.recipient_public);
        let (info, aad, plaintext) = (unhex(&case.info), unhex(&case.aad), unhex(&case.plaintext));
        let sealed = seal(
            key.public(),
            &info,
            &aad,
            &plaintext,
            &mut Given(unhex(&case.ephemeral_ikm)),
        )
        .unwrap();
        assert_eq!(hex::encode(sealed.enc), case.enc);
        assert_eq!(hex::encode(&sealed.ciphertext), case.ciphertext);
        let opened = key
            .open(&array(&case.enc), &info, &aad, &unhex(&case.ciphertext))
            .unwrap();
        assert_eq!(*opened, plaintext);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootFiles {
    roots: Vec<Root>,
    salt: String,
    key: Keyed,
    passphrase: Stretched,
}

#[derive(Deserialize)]
struct Root {
    key_epoch: u32,
    root: String,
}

#[derive(Deserialize)]
struct Keyed {
    wrapping_key: String,
    file: String,
}

#[derive(Deserialize)]
struct Stretched {
    passphrase: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    file: String,
}

#[test]
fn root_files_are_the_known_ones() {
    let known: RootFiles = vectors("root_file");
    let roots: Vec<EpochRoot> = known.roots.iter().map(|r| root(r.key_epoch, &r.root)).collect();
    let roots: Vec<&EpochRoot> = roots.iter().collect();
    let Stretched {
        passphrase,
        memory_kib,
        passes,
        lanes,
        file,
    } = known.passphrase;
    let cost = Argon2Cost {
        memory_kib,
        passes,
        lanes,
    };
    let passphrase = Passphrase::with_cost(passphrase.into_bytes().into(), cost);
    for (wrapping, file) in [
        (
            Wrapping::Key(WrappingKey::new(secret(&known.key.wrapping_key))),
            known.key.file,
        ),
        (Wrapping::Passphrase(passphrase), file),
    ] {
        let written = RootFile::seal(&roots, &wrapping, &mut Given(unhex(&known.salt))).unwrap();
        assert_eq!(hex::encode(written), file);
        let read = RootFile::open(&unhex(&file), &wrapping).unwrap();
        assert_eq!(read.len(), roots.len());
        for (read, root) in read.iter().zip(&roots) {
            assert_eq!((read.epoch(), read.expose()), (root.epoch(), root.expose()));
        }
    }
}

#[test]
fn every_label_stands_in_the_specification() {
    let spec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/SPEC.md")).unwrap();
    for label in Label::ALL
        .map(Label::as_str)
        .into_iter()
        .chain(PathLabel::ALL.map(PathLabel::as_str))
    {
        assert!(spec.contains(&format!("`{label}`")), "{label} is not in SPEC.md");
    }
}
