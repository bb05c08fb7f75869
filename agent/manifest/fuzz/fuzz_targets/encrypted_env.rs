//! Encrypted environments and envelopes: any bytes are refused or read; an envelope that is read is written back to the byte,
//! and nobody's signature comes out of nothing.
#![no_main]

use app_manifest::{EnvName, Expected, SignedEnv, decrypt_v1};
use kms_types::{ChainAddress, ChainId};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

const CHAIN: ChainId = ChainId(31337);

fuzz_target!(|data: &[u8]| {
    let allowed: BTreeSet<EnvName> = BTreeSet::from(["A".parse().expect("a name")]);
    assert!(
        decrypt_v1(&[7; 32], &allowed, data).is_err(),
        "an environment out of nothing"
    );
    let Ok(envelope) = SignedEnv::parse(data) else {
        return;
    };
    assert_eq!(envelope.to_bytes(), data);
    let signers = [ChainAddress::new([9; 20])];
    let (app_id, compose_hash) = (envelope.binding().app_id, envelope.binding().compose_hash);
    if let Ok(signer) = envelope.signer(CHAIN) {
        let expected = Expected {
            chain: CHAIN,
            app_id,
            compose_hash,
            signers: &[signer],
            last: None,
        };
        let verified = envelope.clone().verify(&expected).expect("signed by its signer");
        assert!(
            verified.open(&[7; 32], &allowed).is_err(),
            "an environment out of nothing"
        );
    }
    let expected = Expected {
        chain: CHAIN,
        app_id,
        compose_hash,
        signers: &signers,
        last: None,
    };
    assert!(envelope.verify(&expected).is_err(), "a signature out of nothing");
});
