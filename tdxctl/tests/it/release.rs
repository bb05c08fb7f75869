//! `request-keys` against a KMS that is honest, and against every lie it or somebody at its address could tell.

use crate::{
    guest::{Guest, app},
    kms::{CHAIN, CONTRACT, Chain, Fault, Kms, block, epoch_keys, sign},
    run::{Run, line},
};
use kms_protocol::VerifiedEvidence;
use kms_types::{AppId, Blob, BlockRef, ChainAddress, InstanceId, KeyEpoch, KmsIdentity};
use kms_wire::{AppKeys, AppKeysResponse, Problem, ProblemCode, ReleaseTranscript, SecretBytes};
use std::{fs, os::unix::fs::PermissionsExt};

fn ask(guest: &Guest, kms: &Kms, extra: &[&str]) -> Run {
    let identity = guest.write("kms-identity.json", &serde_json::to_vec(&kms.identity()).unwrap());
    ask_with(guest, &kms.url, &identity, extra)
}

fn ask_with(guest: &Guest, url: &str, identity: &str, extra: &[&str]) -> Run {
    let seed = app().instance_seed.unwrap().to_string();
    let catalogue = guest.path("catalogue.json");
    let fixed = [
        "--td",
        &guest.spec,
        "--kms",
        url,
        "--kms-identity-file",
        identity,
        "--catalogue",
        &catalogue,
        "--instance-seed",
        &seed,
    ];
    line("request-keys --json", &[fixed.as_slice(), extra].concat())
}

fn refused(run: &Run, code: i32, words: &str) {
    assert_eq!(run.code, code, "{run:?}");
    assert!(run.message().contains(words), "expected {words:?}: {run:?}");
}

/// Seals changed keys and signs the answer again, as a KMS that lies would.
pub(crate) fn reseal(answer: &mut AppKeysResponse, evidence: &VerifiedEvidence, change: fn(&mut AppKeys)) {
    let info = &evidence.record().info;
    let secrets = evidence.keys().app_keys(&info.app_id, &info.instance_id).unwrap();
    let mut keys = AppKeys {
        app_id: secrets.app_id,
        instance_id: secrets.instance_id,
        key_epoch: secrets.key_epoch,
        disk_key: SecretBytes::new(secrets.disk_key.into_box()),
        env_key: SecretBytes::new(secrets.env_key.into_box()),
        app_key: SecretBytes::new(secrets.app_key.into_box()),
        app_key_signature: Blob::new(secrets.app_key_signature.to_vec()).unwrap(),
        ca_certificates: secrets.ca_certificates,
        gateway_app_id: AppId::ZERO,
    };
    change(&mut keys);
    let sealed = kms_keys::seal(
        evidence.recipient(),
        &ReleaseTranscript::info(evidence.report_data()),
        &answer.decision.to_bytes(),
        &serde_json::to_vec(&keys).unwrap(),
        &mut rand::rng(),
    )
    .unwrap();
    answer.enc = Blob::new(sealed.enc.to_vec()).unwrap();
    answer.ciphertext = Blob::new(sealed.ciphertext).unwrap();
    sign(answer, evidence.keys(), evidence.report_data());
}

#[test]
fn keys_are_released_to_the_guest_of_the_quote() {
    let (guest, kms) = (Guest::booted(), Kms::honest());
    let first = ask(
        &guest,
        &kms,
        &[
            "--authority",
            &ChainAddress::new(CONTRACT).to_string(),
            "--chain-id",
            "31337",
        ],
    );
    assert_eq!(first.code, 0, "{first:?}");
    let json = first.json();
    assert_eq!(json["app_id"], app().app_id.to_string());
    assert_eq!(json["decision"]["head"]["number"], 100);
    assert_eq!(json["decision"]["chain_id"], CHAIN);
    assert_eq!(json["out"], serde_json::Value::Null);
    let again = ask(&guest, &kms, &[]);
    assert_eq!(
        json["fingerprints"],
        again.json()["fingerprints"],
        "the same keys every time"
    );
    assert!(first.err.is_empty());
}

#[test]
fn k4_keys_go_to_a_new_file_of_the_owner_and_are_shown_to_nobody() {
    let (guest, kms) = (Guest::booted(), Kms::honest());
    let out = guest.path("keys.json");
    let run = ask(&guest, &kms, &["--out", &out]);
    assert_eq!(run.code, 0, "{run:?}");
    let mode = fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let keys: AppKeys = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    let expected = kms.keys.app_keys(&keys.app_id, &keys.instance_id).unwrap();
    assert_eq!(keys.disk_key.expose(), expected.disk_key.expose());
    for secret in [
        hex::encode(keys.disk_key.expose()),
        hex::encode(keys.env_key.expose()),
        hex::encode(keys.app_key.expose()),
    ] {
        assert!(!run.out.contains(&secret) && !run.err.contains(&secret));
    }
    // What is there already may be a link, or have a reader.
    let again = ask(&guest, &kms, &["--out", &out]);
    refused(&again, 64, "not written over");

    let printed = ask(&guest, &kms, &["--out", "-"]);
    assert!(printed.err.contains("WARNING"));
    assert_eq!(printed.json()["disk_key"], hex::encode(keys.disk_key.expose()));
}

#[test]
fn g3_another_kms_at_the_address_is_refused() {
    let (guest, kms) = (Guest::booted(), Kms::honest());
    let mut other = kms.identity();
    let public = epoch_keys(2).identity().clone();
    (other.kms_identity, other.ca_certificate) = (public.kms_identity, public.ca_certificate);
    let identity = guest.write("other.json", &serde_json::to_vec(&other).unwrap());
    refused(
        &ask_with(&guest, &kms.url, &identity, &[]),
        1,
        "KMS identity (TLS)",
    );
}

#[test]
fn g3_a_leaf_of_another_ca_is_refused() {
    let guest = Guest::booted();
    let kms = Kms::start(Fault::None, Chain::OtherLeaf(Box::new(epoch_keys(2))));
    refused(
        &ask(&guest, &kms, &[]),
        1,
        "a certificate for kms.kedge.internal by the pinned CA",
    );
    let kms = Kms::start(Fault::None, Chain::LeafOnly);
    refused(&ask(&guest, &kms, &[]), 1, "leaf and CA");
}

#[test]
fn g3_a_challenge_of_another_kms_is_refused() {
    let guest = Guest::booted();
    let kms = Kms::start(Fault::Challenge(KmsIdentity::new([8; 32])), Chain::Honest);
    refused(&ask(&guest, &kms, &[]), 1, "KMS identity (challenge)");
}

#[test]
fn g3_a_document_that_contradicts_itself_or_the_pin_is_refused() {
    let (guest, kms) = (Guest::booted(), Kms::honest());
    let mut mixed = kms.identity();
    mixed.ca_certificate = epoch_keys(2).identity().ca_certificate.clone();
    let identity = guest.write("mixed.json", &serde_json::to_vec(&mixed).unwrap());
    refused(
        &ask_with(&guest, &kms.url, &identity, &[]),
        64,
        "hash of the CA certificate's key",
    );
    let other = KmsIdentity::new([8; 32]).to_string();
    refused(
        &ask(&guest, &kms, &["--kms-identity", &other]),
        1,
        "KMS identity: expected 0x0808",
    );
    let no_pin = line(
        "request-keys --kms",
        &[
            &kms.url,
            "--catalogue",
            &guest.path("catalogue.json"),
            "--td",
            &guest.spec,
        ],
    );
    assert_eq!(no_pin.code, 64, "there is no first use: {no_pin:?}");
}

#[test]
fn g3_an_answer_signed_by_another_key_is_refused() {
    let guest = Guest::booted();
    let kms = Kms::spoiling(|answer, evidence| sign(answer, &epoch_keys(2), evidence.report_data()));
    refused(&ask(&guest, &kms, &[]), 1, "signature of the KMS");
    // Signed, then changed: what allowed the release is under the signature.
    let kms = Kms::spoiling(|answer, _| answer.decision.head.number += 1);
    refused(&ask(&guest, &kms, &[]), 1, "signature of the KMS");
    let kms = Kms::spoiling(|answer, _| answer.signature = Blob::new(vec![0; 65]).unwrap());
    refused(&ask(&guest, &kms, &[]), 1, "signature of the KMS");
}

#[test]
fn g3_an_answer_of_another_network_is_refused() {
    let (guest, kms) = (Guest::booted(), Kms::honest());
    refused(
        &ask(&guest, &kms, &["--chain-id", "1"]),
        1,
        "chain id: expected 1, got 31337",
    );
    let other = ChainAddress::new([1; 20]).to_string();
    refused(
        &ask(&guest, &kms, &["--authority", &other]),
        1,
        "authority contract",
    );
}

#[test]
fn g3_an_answer_about_something_else_is_refused() {
    let guest = Guest::booted();
    type Change = fn(&mut AppKeysResponse);
    let changes: [(Change, &str); 6] = [
        (|a| a.key_epoch = KeyEpoch(2), "key epoch"),
        (
            |a| a.log.entry.app_id = AppId::new([1; 20]),
            "app of the log entry",
        ),
        (
            |a| a.log.entry.block = block(99).block_ref(),
            "block of the log entry",
        ),
        (|a| a.log.tree_head.size = 0, "tree head"),
        (
            |a| a.log.tree_head.signature = Blob::new(vec![0; 64]).unwrap(),
            "signature of the tree head",
        ),
        (|a| a.decision.finalized = block(101), "finalized block"),
    ];
    for (change, words) in changes {
        let kms = Kms::spoiling(move |answer, evidence| {
            change(answer);
            sign(answer, evidence.keys(), evidence.report_data());
        });
        refused(&ask(&guest, &kms, &[]), 1, words);
    }
}

#[test]
fn g3_keys_of_another_app_or_seal_are_refused() {
    let guest = Guest::booted();
    // The seal is bound to the decision.
    let kms = Kms::spoiling(|answer, evidence| {
        answer.decision.record_hash = kms_types::BlockHash::new([5; 32]);
        sign(answer, evidence.keys(), evidence.report_data());
    });
    refused(&ask(&guest, &kms, &[]), 1, "cannot be opened");
    type Change = fn(&mut AppKeys);
    let changes: [(Change, &str); 5] = [
        (|keys| keys.app_id = AppId::new([1; 20]), "app of the keys"),
        (
            |keys| keys.instance_id = InstanceId::new([1; 20]),
            "instance of the keys",
        ),
        (|keys| keys.key_epoch = KeyEpoch(2), "epoch of the keys"),
        (
            |keys| keys.app_key = SecretBytes::new(Box::new([1; 32])),
            "signature over the app key",
        ),
        (
            |keys| keys.ca_certificates = epoch_keys(2).identity().ca_certificate.clone(),
            "CA of the app's certificates",
        ),
    ];
    for (change, words) in changes {
        let kms = Kms::spoiling(move |answer, evidence| reseal(answer, evidence, change));
        refused(&ask(&guest, &kms, &[]), 1, words);
    }
}

#[test]
fn a_refusal_says_what_and_why_and_at_which_block() {
    let guest = Guest::booted();
    let mut problem = Problem::new(ProblemCode::Denied, "denied at block 7: compose_hash_not_allowed");
    problem.reason = Some("compose_hash_not_allowed".to_owned());
    problem.block = Some(BlockRef {
        number: 7,
        hash: block(7).hash,
    });
    let kms = Kms::start(Fault::Problem(Box::new(problem)), Chain::Honest);
    let run = ask(&guest, &kms, &[]);
    refused(&run, 1, "compose_hash_not_allowed");
    let error = &run.json()["error"];
    assert_eq!(
        (&error["problem"]["code"], &error["problem"]["block"]["number"]),
        (&"denied".into(), &7.into())
    );
    let identity = guest.path("kms-identity.json");
    let people = line(
        "request-keys",
        &[
            "--td",
            &guest.spec,
            "--kms",
            &kms.url,
            "--kms-identity-file",
            &identity,
            "--catalogue",
            &guest.path("catalogue.json"),
        ],
    );
    assert!(
        people.err.contains("reason: compose_hash_not_allowed") && people.err.contains("block: 7"),
        "{people:?}"
    );
    assert!(people.err.contains("what to do:"));
}

#[test]
fn evidence_that_does_not_hold_is_refused_by_number() {
    let (guest, kms) = (Guest::booted(), Kms::honest());
    let run = ask(&guest, &kms, &["--key-epoch", "1"]);
    assert_eq!(run.code, 0, "{run:?}");
    soft_td::finish_boot(&*guest.td, br#"{"name":"kms","id":"00"}"#).unwrap();
    let run = ask(&guest, &kms, &[]);
    refused(&run, 1, "B5");
    assert_eq!(run.json()["error"]["problem"]["check"], "B5");
}

#[test]
fn silence_and_garbage_are_no_refusals() {
    let guest = Guest::booted();
    let problem = Problem::new(ProblemCode::ChainUnavailable, "the chain cannot be asked");
    let faults = [
        (Fault::Problem(Box::new(problem)), "chain cannot be asked"),
        (Fault::Words(200, b"{}".to_vec()), "missing field"),
        (Fault::Words(200, vec![b' '; 300 * 1024]), "at most 262144 bytes"),
        (
            Fault::Words(403, b"\x1b[2Jno".to_vec()),
            "expected 200 or a problem document, got 403 Forbidden: [2Jno",
        ),
        (Fault::Redirect("https://127.0.0.1:1/".to_owned()), "got 307"),
    ];
    for (fault, words) in faults {
        let kms = Kms::start(fault, Chain::Honest);
        refused(&ask(&guest, &kms, &[]), 2, words);
    }
    let kms = Kms::honest();
    let identity = guest.write("kms-identity.json", &serde_json::to_vec(&kms.identity()).unwrap());
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    refused(
        &ask_with(&guest, &format!("https://{closed}"), &identity, &[]),
        2,
        "could not be asked",
    );
    refused(
        &ask_with(&guest, "http://127.0.0.1:1", &identity, &[]),
        64,
        "expected https",
    );
}

#[test]
fn a_td_of_another_image_asks_nobody() {
    let (guest, kms) = (Guest::booted(), Kms::honest());
    let other = soft_td::SimImage::new("another")
        .unwrap()
        .catalogue()
        .to_json()
        .unwrap();
    guest.write("catalogue.json", &other);
    refused(&ask(&guest, &kms, &[]), 64, "catalogue");
}
