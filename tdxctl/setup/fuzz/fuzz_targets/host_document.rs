//! The host document: any bytes are refused or read; what is read is JSON to another reader too, with the same compose document,
//! and another document text gives another measurement or the same fields.
#![no_main]

use guest_setup::{FailureKind, HostDocument, MAX_DOCUMENT, host_config_hash};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &[u8]| {
    match HostDocument::parse(text) {
        Ok(document) => {
            assert!(text.len() <= MAX_DOCUMENT);
            let value: Value = serde_json::from_slice(text).expect("what was read is JSON");
            assert_eq!(value["version"], 1);
            assert_eq!(
                value["app_compose"].as_str().map(str::as_bytes),
                Some(document.app_compose.as_slice())
            );
            assert_eq!(
                document.manifest.compose().no_instance_id,
                document.instance_seed.is_none()
            );
            assert!(document.kms_urls.len() <= 16);
            let mut other = document.clone();
            other.vm_config.push('x');
            assert_ne!(host_config_hash(&document), host_config_hash(&other));
        }
        Err(error) => {
            assert_eq!(error.kind, FailureKind::Malformed);
            assert!(!error.message.is_empty() && !error.advice.is_empty());
        }
    }
});
