//! app-compose.json: any bytes are refused or read; what is read is JSON to another reader too, with the same outermost keys,
//! and within its bounds.
#![no_main]

use app_manifest::{
    AppManifest, ComposeError, MAX_ALLOWED_ENVS, MAX_INIT_SCRIPTS, MAX_LEASE_GRACE, MAX_NAME, MAX_PORTS,
};
use kms_types::ComposeHash;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|document: &[u8]| {
    match AppManifest::parse(document) {
        Ok(manifest) => {
            let compose = manifest.compose();
            assert!(
                (1..=MAX_NAME).contains(&compose.name.len()) && (1..=3).contains(&compose.manifest_version)
            );
            assert!(
                compose.init_script.len() <= MAX_INIT_SCRIPTS
                    && compose.allowed_envs.len() <= MAX_ALLOWED_ENVS
            );
            assert!(
                compose.port_policy.ports.len() <= MAX_PORTS
                    && compose.lease_grace_s <= Some(MAX_LEASE_GRACE)
            );
            assert_eq!(manifest.hash(), ComposeHash::of(document));
            let value: Value = serde_json::from_slice(document).expect("what was read is JSON");
            assert_eq!(value["name"], compose.name);
            assert!(manifest.unknown_keys().iter().all(|key| value.get(key).is_some()));
        }
        Err(ComposeError::Fields(faults)) => assert!(!faults.is_empty()),
        Err(_) => {}
    }
});
