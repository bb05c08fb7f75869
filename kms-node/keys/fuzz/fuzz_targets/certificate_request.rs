//! Certificate requests: any bytes are refused, or lead to a certificate for the permitted name and nothing else.
#![no_main]

use kms_keys::{EpochKeys, EpochRoot, LeafRequest, Secret, Validity, app_domain};
use kms_types::{AppId, KeyEpoch, UnixTime};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEYS: LazyLock<EpochKeys> = LazyLock::new(|| {
    let root = EpochRoot::from_secret(KeyEpoch::FIRST, Secret::new(Box::new([7; 32])));
    EpochKeys::derive(root).expect("keys of a fixed root")
});

fuzz_target!(|csr: &[u8]| {
    let app = AppId::new([5; 20]);
    let permitted = [app_domain(&app)];
    let validity = Validity::starting(UnixTime(1_767_225_600), 3600);
    if let Ok(chain) = KEYS.issue_leaf(&LeafRequest {
        app,
        csr,
        permitted: &permitted,
        validity,
    }) {
        assert!(
            chain
                .iter()
                .all(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----"))
        );
    }
});
