//! Every event of the ABI is known with every field, and only its exact encoding is read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use alloy::primitives::{Address, B256, keccak256};
use alloy::sol_types::SolEvent;
use authority_contracts::{
    APP_EVENTS, KMS_EVENTS,
    abi::{AppAuthority, KmsAuthority},
    decode_app_event, decode_kms_event,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn in_artifact(name: &str) -> BTreeSet<(String, B256)> {
    let path = format!("{}/../artifacts/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let artifact: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let events = artifact["abi"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["type"] == "event");
    let signature = |event: &serde_json::Value| {
        let kinds = event["inputs"].as_array().unwrap().iter();
        let kinds: Vec<_> = kinds.map(|input| input["type"].as_str().unwrap()).collect();
        let name = event["name"].as_str().unwrap();
        (name.to_owned(), keccak256(format!("{name}({})", kinds.join(","))))
    };
    events.map(signature).collect()
}

#[test]
fn every_event_of_the_abi_is_known() {
    for (name, known) in [("KmsAuthority", KMS_EVENTS), ("AppAuthority", APP_EVENTS)] {
        let known: BTreeSet<_> = known
            .iter()
            .map(|(name, topic)| ((*name).to_owned(), *topic))
            .collect();
        assert_eq!(known, in_artifact(name), "{name}");
    }
}

#[test]
fn fields_are_named_as_in_the_contract() {
    let app = Address::repeat_byte(0xa1);
    let log = KmsAuthority::AppRegistered { appId: app }.encode_log_data();
    let event = decode_kms_event(log.topics(), &log.data).unwrap();
    assert_eq!((event.name, event.app), ("AppRegistered", Some(app)));
    assert_eq!(event.fields, [("appId", format!("{app:#x}"))]);
    let announced = AppAuthority::ComposeHashAnnounced {
        composeHash: B256::repeat_byte(7),
        notBefore: 5,
        validUntil: 9,
    };
    let log = announced.encode_log_data();
    let event = decode_app_event(log.topics(), &log.data).unwrap();
    let expected = [
        ("composeHash", B256::repeat_byte(7).to_string()),
        ("notBefore", "5".to_owned()),
        ("validUntil", "9".to_owned()),
    ];
    assert_eq!((event.name, event.app), ("ComposeHashAnnounced", None));
    assert_eq!(event.fields, expected);
    let long = KmsAuthority::GatewayAppIdSet {
        gatewayAppId: "é".repeat(5000),
    }
    .encode_log_data();
    let event = decode_kms_event(long.topics(), &long.data).unwrap();
    assert_eq!(event.fields[0].1.chars().count(), 1025, "cut, and says so");
}

proptest! {
    #[test]
    fn any_log_is_read_or_left(index in 0..60_usize, rest in proptest::collection::vec(any::<[u8; 32]>(), 0..4),
        data in proptest::collection::vec(any::<u8>(), 0..300)) {
        let all: Vec<_> = KMS_EVENTS.iter().chain(APP_EVENTS).collect();
        let mut topics = vec![all[index % all.len()].1];
        topics.extend(rest.into_iter().map(B256::new));
        for event in [decode_kms_event(&topics, &data), decode_app_event(&topics, &data)].into_iter().flatten() {
            prop_assert!(event.fields.iter().all(|(_, value)| value.chars().count() <= 1025));
        }
    }
}
