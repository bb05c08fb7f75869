//! Host documents as a host may write them: whole, changed by a byte, cut off, and anything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use guest_setup::{FailureKind, HostDocument, host_config_hash};
use kms_types::OsMeasurement;
use proptest::prelude::*;
use serde_json::{Value, json};

fn catalogue() -> Value {
    let register = |byte| kms_types::Rtmr::new([byte; 48]);
    let os = OsMeasurement {
        mrtd: kms_types::Mrtd::new([1; 48]),
        rtmr0: register(2),
        rtmr1: register(3),
        rtmr2: register(4),
    };
    let catalogue = td_measure::Catalogue::from_measurements([os]).unwrap();
    serde_json::from_slice(&catalogue.to_json().unwrap()).unwrap()
}

fn document(vm_config: &str, urls: &[String], seed: [u8; 20]) -> Value {
    let compose = json!({
        "manifest_version": 2,
        "name": "hello",
        "runner": "docker-compose",
        "docker_compose_file": "services: {}",
        "key_provider": "kms",
        "key_provider_id": "ab".repeat(32),
    });
    json!({
        "version": 1,
        "app_compose": compose.to_string(),
        "instance_seed": hex::encode(seed),
        "kms_urls": urls,
        "vm_config": vm_config,
        "catalogue": catalogue(),
    })
}

fn refused(text: &[u8]) {
    if let Err(error) = HostDocument::parse(text) {
        assert_eq!(error.kind, FailureKind::Malformed);
        assert!(!error.message.is_empty() && !error.advice.is_empty());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_as_malformed_or_read(text in prop::collection::vec(any::<u8>(), 0..400)) {
        refused(&text);
    }

    #[test]
    fn g2_what_is_read_is_what_was_written_and_every_input_has_a_hash_of_its_own(
        vm_config in "\\PC{0,40}",
        hosts in prop::collection::vec("[a-z]{1,8}", 1..4),
        seed in any::<[u8; 20]>(),
    ) {
        let urls: Vec<String> = hosts.iter().map(|host| format!("https://{host}.example/")).collect();
        let text = document(&vm_config, &urls, seed).to_string();
        let read = HostDocument::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&read.vm_config, &vm_config);
        prop_assert_eq!(read.kms_urls.len(), urls.len());
        let read_seed = read.instance_seed.unwrap();
        prop_assert_eq!(read_seed.as_ref(), &seed[..]);
        let more = [urls.as_slice(), &["https://more.example/".to_owned()]].concat();
        for other in [document(&format!("{vm_config}x"), &urls, seed), document(&vm_config, &more, seed)] {
            let other = HostDocument::parse(other.to_string().as_bytes()).unwrap();
            prop_assert_ne!(host_config_hash(&read), host_config_hash(&other));
        }
    }

    #[test]
    fn g1_a_document_that_was_cut_off_or_has_a_key_more_is_never_read(
        cut in any::<prop::sample::Index>(),
        key in "[a-z_]{1,12}",
    ) {
        let whole = document("{}", &["https://kms.example/".to_owned()], [7; 20]);
        let text = whole.to_string();
        let end = cut.index(text.len());
        prop_assert!(HostDocument::parse(&text.as_bytes()[..end]).is_err());
        let twice = text.replacen('{', &format!("{{\"{key}\":1,"), 1);
        prop_assert!(HostDocument::parse(twice.as_bytes()).is_err(), "{}", twice);
    }

    #[test]
    fn a_changed_byte_is_refused_or_read_without_a_panic(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut text = document("{}", &["https://kms.example/".to_owned()], [7; 20]).to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = to;
        refused(&text);
    }
}
