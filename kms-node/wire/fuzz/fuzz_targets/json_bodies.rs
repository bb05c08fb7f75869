//! Bodies of requests and answers: any bytes are refused or read; what is read is written and read back the same, within its bounds.
#![no_main]

use kms_wire::{
    AppKeysResponse, CertificateRequest, CertificateResponse, ChallengeResponse, ConsistencyProof,
    EnvPublicKey, Evidence, InclusionProof, LeaseClaims, LeaseResponse, LogEntry, MAX_EVENTS, MAX_VM_CONFIG,
    Meta, Problem, ReleaseTranscript, ReportData, SignedTreeHead,
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fn stable<T: Serialize + DeserializeOwned>(data: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(data).ok()?;
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&again).ok().as_ref(), Some(&written));
    Some(read)
}

fuzz_target!(|data: &[u8]| {
    if let Some(evidence) = stable::<Evidence>(data) {
        assert!(evidence.event_log.len() <= MAX_EVENTS && evidence.vm_config.len() <= MAX_VM_CONFIG);
        assert_eq!(evidence.hpke_public_key.as_bytes().len(), 32);
    }
    if let Some(answer) = stable::<AppKeysResponse>(data) {
        assert_eq!(answer.signature.as_bytes().len(), 65);
        ReleaseTranscript::digest(&ReportData::ZERO, &answer);
    }
    stable::<CertificateRequest>(data);
    stable::<CertificateResponse>(data);
    stable::<ChallengeResponse>(data);
    stable::<ConsistencyProof>(data);
    stable::<EnvPublicKey>(data);
    stable::<InclusionProof>(data);
    stable::<LeaseClaims>(data);
    stable::<LeaseResponse>(data);
    stable::<LogEntry>(data);
    stable::<Meta>(data);
    stable::<Problem>(data);
    stable::<SignedTreeHead>(data);
});
