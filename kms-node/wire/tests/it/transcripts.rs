//! Bytes that both ends compute, against the second implementation.

use crate::messages::{example, examples};
use kms_types::ReportTag;
use kms_wire::{
    AppKeysResponse, ChallengeResponse, DiskGeneration, DiskMark, Evidence, LeaseResponse, LeaseTranscript,
    LogEntry, ReleaseTranscript, SignedTreeHead, evidence_report_data,
};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn known() -> Value {
    let path = format!("{}/../keys/vectors/transcripts.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn report_data_of_evidence_is_the_known_one() {
    let known = known();
    let (challenge, evidence) = (
        example::<ChallengeResponse>("ChallengeResponse"),
        example::<Evidence>("Evidence"),
    );
    for tag in [ReportTag::Release, ReportTag::Lease, ReportTag::RaTls] {
        let data = evidence_report_data(tag, &challenge.kms_identity, &evidence);
        assert_eq!(
            data.to_plain_hex(),
            known["evidence_report_data"][tag.as_str()].as_str().unwrap()
        );
    }
}

fn generation(number: u64, mark: u8) -> DiskGeneration {
    DiskGeneration {
        number,
        mark: DiskMark::new([mark; 16]),
    }
}

/// Where evidence names a generation it is under the quote; the same evidence without it is the older format's, byte for byte.
#[test]
fn g4_report_data_binds_the_generation_of_the_disk() {
    let (known, kms) = (
        known(),
        example::<ChallengeResponse>("ChallengeResponse").kms_identity,
    );
    let mut evidence: Evidence = serde_json::from_value(examples()["Evidence"][2].clone()).unwrap();
    let data = |evidence: &Evidence| evidence_report_data(ReportTag::Lease, &kms, evidence);
    let reported = data(&evidence);
    assert_eq!(
        reported.to_plain_hex(),
        known["evidence_report_data_with_disk_generation"]
            .as_str()
            .unwrap()
    );
    let mut seen = vec![reported];
    for other in [
        generation(0, 1),
        generation(1, 1),
        generation(1, 2),
        generation(u64::MAX, 1),
    ] {
        evidence.disk_generation = Some(other);
        seen.push(data(&evidence));
    }
    evidence.disk_generation = None;
    let without = data(&evidence);
    assert_eq!(
        without.to_plain_hex(),
        known["evidence_report_data"]["kedge/lease/v1"].as_str().unwrap()
    );
    seen.push(without);
    let different: std::collections::BTreeSet<_> = seen.iter().map(|data| data.to_plain_hex()).collect();
    assert_eq!(different.len(), 6);
}

/// A guest believes what its KMS says of the disk: a host that takes the number out of an answer, or changes it, breaks the signature.
#[test]
fn g4_signature_covers_the_generation_the_log_knows() {
    let mut answer: AppKeysResponse = example("AppKeysResponse");
    let mut digests = std::collections::BTreeSet::new();
    let known_ones = [
        generation(0, 1),
        generation(1, 1),
        generation(1, 2),
        generation(u64::MAX, 1),
    ];
    for known in known_ones.map(Some).into_iter().chain([None]) {
        answer.log.entry.disk_generation = known;
        digests.insert(ReleaseTranscript::digest(&kms_types::ReportData::ZERO, &answer));
    }
    assert_eq!(digests.len(), 5);
    answer.log.entry = serde_json::from_value(examples()["LogEntry"][4].clone()).unwrap();
    assert_eq!(
        hex::encode(answer.log.to_bytes()),
        known()["log_position_with_disk_generation"]
    );
}

/// Every part of the evidence that the quote must speak for changes the report data.
#[test]
fn q7_report_data_binds_every_part() {
    let kms = example::<ChallengeResponse>("ChallengeResponse").kms_identity;
    let original = example::<Evidence>("Evidence");
    let data = evidence_report_data(ReportTag::Release, &kms, &original);
    let with = |field: &str, value: &str| {
        let mut other = examples()["Evidence"][0].clone();
        other[field] = value.into();
        evidence_report_data(ReportTag::Release, &kms, &serde_json::from_value(other).unwrap())
    };
    assert_ne!(data, with("challenge", &"00".repeat(64)));
    assert_ne!(data, with("hpke_public_key", &"00".repeat(32)));
    assert_ne!(data, with("image_proof", "00"));
    assert_ne!(data, with("vm_config", ""));
    assert_ne!(data, evidence_report_data(ReportTag::Lease, &kms, &original));
    assert_ne!(
        data,
        evidence_report_data(ReportTag::Release, &kms_types::KmsIdentity::ZERO, &original)
    );
    // A byte that moves from one part to the next makes another hash.
    let proof: String = examples()["Evidence"][0]["image_proof"]
        .as_str()
        .unwrap()
        .to_owned()
        + "7b";
    let mut moved = examples()["Evidence"][0].clone();
    let config = moved["vm_config"].as_str().unwrap()[1..].to_owned();
    moved["image_proof"] = proof.into();
    moved["vm_config"] = config.into();
    let moved = serde_json::from_value(moved).unwrap();
    assert_ne!(data, evidence_report_data(ReportTag::Release, &kms, &moved));
}

#[test]
fn digests_of_answers_are_the_known_ones() {
    let known = known();
    let kms = example::<ChallengeResponse>("ChallengeResponse").kms_identity;
    let evidence = example::<Evidence>("Evidence");
    let data = evidence_report_data(ReportTag::Release, &kms, &evidence);
    assert_eq!(hex::encode(ReleaseTranscript::info(&data)), known["release_info"]);
    let answer = example::<AppKeysResponse>("AppKeysResponse");
    assert_eq!(
        hex::encode(ReleaseTranscript::digest(&data, &answer)),
        known["release_digest"]
    );
    let data = evidence_report_data(ReportTag::Lease, &kms, &evidence);
    let answer = example::<LeaseResponse>("LeaseResponse");
    assert_eq!(
        hex::encode(LeaseTranscript::digest(&data, &answer)),
        known["lease_digest"]
    );
}

/// Whatever a client acts on is under the signature.
#[test]
fn every_field_of_an_answer_changes_its_digest() {
    for (name, own) in [("AppKeysResponse", true), ("LeaseResponse", false)] {
        let original = examples()[name][0].clone();
        let digest = |value: &Value| {
            let data = kms_types::ReportData::ZERO;
            if own {
                ReleaseTranscript::digest(&data, &serde_json::from_value(value.clone()).unwrap())
            } else {
                LeaseTranscript::digest(&data, &serde_json::from_value(value.clone()).unwrap())
            }
        };
        let mut leaves = Vec::new();
        leaf_pointers(&original, "", &mut leaves);
        for at in leaves.iter().filter(|at| *at != "/signature") {
            let mut other = original.clone();
            let value = other.pointer_mut(at).unwrap();
            *value = match value {
                Value::Number(n) => Value::from(n.as_u64().unwrap() + 1),
                Value::String(text) if text == "app_keys" => "lease".into(),
                Value::String(text) if text == "lease" => "app_keys".into(),
                Value::String(text) => {
                    let last = if text.ends_with('0') { "1" } else { "0" };
                    format!("{}{last}", &text[..text.len() - 1]).into()
                }
                other => panic!("{at}: {other}"),
            };
            assert_ne!(
                digest(&other),
                digest(&original),
                "{name}{at} is not under the signature"
            );
        }
    }
}

fn leaf_pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(k, v)| leaf_pointers(v, &format!("{at}/{k}"), out)),
        _ => out.push(at.to_owned()),
    }
}

#[test]
fn encodings_of_decision_log_and_head_are_the_known_ones() {
    let known = known();
    let answer = example::<AppKeysResponse>("AppKeysResponse");
    assert_eq!(hex::encode(answer.decision.to_bytes()), known["decision"]);
    assert_eq!(hex::encode(answer.log.to_bytes()), known["log_position"]);
    let entries: Vec<LogEntry> = serde_json::from_value(examples()["LogEntry"].clone()).unwrap();
    for (n, entry) in entries.iter().enumerate() {
        let leaf = entry.leaf_bytes();
        let more = if entry.disk_generation.is_some() { 24 } else { 0 };
        assert_eq!(leaf.len(), LogEntry::LEAF_LEN + more);
        assert_eq!(LogEntry::from_leaf_bytes(&leaf).as_ref(), Some(entry));
        for cut in 1..=24 {
            let cut = &leaf[..leaf.len() - cut];
            let whole = cut.len() == LogEntry::LEAF_LEN;
            assert_eq!(LogEntry::from_leaf_bytes(cut).is_some(), whole, "{}", cut.len());
        }
        assert_eq!(LogEntry::from_leaf_bytes(&[leaf.as_slice(), &[0]].concat()), None);
        assert_eq!(hex::encode(&leaf), known["log_leaves"][n]);
        let hash = Sha256::new().chain_update([0]).chain_update(&leaf).finalize();
        assert_eq!(hex::encode(hash), known["log_leaf_hashes"][n]);
    }
    let head = example::<SignedTreeHead>("SignedTreeHead");
    let root = head.root.as_bytes().try_into().unwrap();
    assert_eq!(
        hex::encode(SignedTreeHead::signed_bytes(head.size, root, head.time)),
        known["tree_head_signed"]
    );
}

proptest! {
    /// What the database gives back as a leaf is refused, or every byte of it has its meaning.
    #[test]
    fn any_bytes_are_no_leaf_or_exactly_one(
        mut leaf in prop::collection::vec(any::<u8>(), LogEntry::LEAF_LEN - 9..LogEntry::LEAF_LEN + 34),
        kind in 0_u8..6,
    ) {
        leaf[0] = kind;
        let read = LogEntry::from_leaf_bytes(&leaf);
        let whole = [LogEntry::LEAF_LEN, LogEntry::LEAF_LEN + 24].contains(&leaf.len());
        prop_assert_eq!(read.is_some(), whole && (1..=4).contains(&kind));
        if let Some(entry) = read {
            prop_assert_eq!(entry.leaf_bytes(), leaf);
        }
    }
}
