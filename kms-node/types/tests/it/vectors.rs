//! Identities, events and report data against the second implementation.

use kms_types::{
    AppId, AttestationRoot, ComposeHash, DeviceId, EventLogEntry, InstanceId, InstanceSeed, KmsIdentity,
    OsMeasurement, ReportData, ReportTag, Rtmr,
};
use serde_json::Value;
use std::collections::BTreeSet;

fn known(name: &str) -> Value {
    let path = format!("{}/../keys/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    let digits = text(value);
    (0..digits.len())
        .step_by(2)
        .map(|n| u8::from_str_radix(&digits[n..n + 2], 16).unwrap())
        .collect()
}

#[test]
fn identities_are_the_known_ones() {
    let known = known("identities");
    let compose = &known["compose"];
    assert_eq!(
        ComposeHash::of(text(&compose["document"]).as_bytes()).to_plain_hex(),
        text(&compose["compose_hash"])
    );
    let instance = &known["instance"];
    let seed: InstanceSeed = text(&instance["seed"]).parse().unwrap();
    let app: AppId = text(&instance["app_id"]).parse().unwrap();
    assert_eq!(
        InstanceId::derive(&seed, &app).to_plain_hex(),
        text(&instance["instance_id"])
    );
    let device = &known["device"];
    assert_eq!(
        DeviceId::of_ppid(&unhex(&device["ppid"])).to_plain_hex(),
        text(&device["device_id"])
    );
    let spki = &known["spki"];
    assert_eq!(
        KmsIdentity::of_spki(&unhex(&spki["der"])).to_plain_hex(),
        text(&spki["sha256"])
    );
    assert_eq!(
        AttestationRoot::of_spki(&unhex(&spki["der"])).to_plain_hex(),
        text(&spki["sha256"])
    );
}

#[test]
fn b6_instance_ids_depend_on_seed_and_app() {
    let id = |seed, app| InstanceId::derive(&InstanceSeed::new([seed; 20]), &AppId::new([app; 20]));
    assert_ne!(id(1, 1), id(2, 1));
    assert_ne!(id(1, 1), id(1, 2));
}

#[test]
fn events_extend_to_the_known_registers() {
    let mut register = Rtmr::ZERO;
    for step in known("identities")["event_log"].as_array().unwrap() {
        let entry: EventLogEntry = serde_json::from_value(step["entry"].clone()).unwrap();
        assert_eq!(entry.digest.as_bytes(), entry.runtime_digest());
        assert_eq!(
            EventLogEntry::runtime(&entry.event, entry.event_payload.as_bytes()).unwrap(),
            entry
        );
        register = entry.extend(&register);
        assert_eq!(
            register.to_plain_hex(),
            text(&step["rtmr3"]),
            "after {}",
            entry.event
        );
    }
}

#[test]
fn catalogue_leaves_are_the_known_ones() {
    for image in known("identities")["os_images"].as_array().unwrap() {
        for (n, measurement) in image["measurements"].as_array().unwrap().iter().enumerate() {
            let measurement: OsMeasurement = serde_json::from_value(measurement.clone()).unwrap();
            assert_eq!(measurement.leaf_bytes(), unhex(&image["leaf_bytes"][n]));
        }
    }
}

const TAGS: [ReportTag; 8] = [
    ReportTag::Release,
    ReportTag::Lease,
    ReportTag::KmsOnboard,
    ReportTag::KmsBootstrap,
    ReportTag::RaTls,
    ReportTag::GatewayCert,
    ReportTag::AcmeAccount,
    ReportTag::AppAttest,
];

#[test]
fn report_data_is_the_known_one_for_every_tag() {
    let known = known("report_data");
    let mut all = BTreeSet::new();
    for case in known.as_array().unwrap() {
        let tag = TAGS
            .into_iter()
            .find(|tag| tag.as_str() == text(&case["tag"]))
            .unwrap();
        let parts: Vec<Vec<u8>> = case["parts"].as_array().unwrap().iter().map(unhex).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let data = ReportData::bind(tag, &parts);
        assert_eq!(data.to_plain_hex(), text(&case["report_data"]));
        assert!(all.insert(data), "two lists of parts with one report data");
    }
    let tags: BTreeSet<&str> = known
        .as_array()
        .unwrap()
        .iter()
        .map(|c| text(&c["tag"]))
        .collect();
    assert_eq!(tags, TAGS.iter().map(|t| t.as_str()).collect());
}
