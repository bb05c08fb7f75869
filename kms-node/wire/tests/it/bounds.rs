//! Q8: everything from outside has a bound, and it is the one of `limits`.

use crate::messages::examples;
use kms_types::Blob;
use kms_wire::{
    CHALLENGE_LEN, Evidence, InclusionProof, MAX_BODY, MAX_CSR, MAX_EVENT_LOG, MAX_EVENT_NAME, MAX_EVENTS,
    MAX_IMAGE_PROOF, MAX_PATH, MAX_QUOTE, MAX_VM_CONFIG,
};
use serde_json::{Value, json};

fn evidence(field: &str, value: Value) -> Result<Evidence, String> {
    let mut example = examples()["Evidence"][0].clone();
    example[field] = value;
    serde_json::from_str(&example.to_string()).map_err(|e| e.to_string())
}

fn bytes(count: usize) -> Value {
    Value::String(format!("0x{}", "00".repeat(count)))
}

fn event(name: usize, payload: usize) -> Value {
    json!({"imr": 3, "event_type": 0x0800_0001, "digest": "", "event": "e".repeat(name), "event_payload": bytes(payload)})
}

#[test]
fn q8_blobs_above_their_bound_are_refused() {
    for (field, max) in [("quote", MAX_QUOTE), ("image_proof", MAX_IMAGE_PROOF)] {
        evidence(field, bytes(max)).unwrap();
        let error = evidence(field, bytes(max + 1)).unwrap_err();
        assert!(
            error.contains(&format!("expected at most {max} bytes, got {}", max + 1)),
            "{error}"
        );
    }
    let csr = serde_json::from_value::<Blob<MAX_CSR>>(bytes(MAX_CSR + 1))
        .unwrap_err()
        .to_string();
    assert!(csr.contains("expected at most"), "{csr}");
    evidence("challenge", bytes(CHALLENGE_LEN - 1)).unwrap_err();
}

#[test]
fn q8_a_bound_is_checked_before_the_digits_are() {
    let error = evidence("quote", Value::String("z".repeat(2 * MAX_QUOTE + 2))).unwrap_err();
    assert!(error.contains("expected at most"), "{error}");
}

#[test]
fn q8_texts_above_their_bound_are_refused() {
    evidence("vm_config", Value::String("a".repeat(MAX_VM_CONFIG))).unwrap();
    let error = evidence("vm_config", Value::String("a".repeat(MAX_VM_CONFIG + 1))).unwrap_err();
    assert!(error.contains("vm_config: expected at most"), "{error}");
}

#[test]
fn q8_event_logs_above_their_bounds_are_refused() {
    evidence("event_log", Value::Array(vec![event(1, 0); MAX_EVENTS])).unwrap();
    let error = evidence("event_log", Value::Array(vec![event(1, 0); MAX_EVENTS + 1])).unwrap_err();
    assert!(error.contains("entries, got more"), "{error}");

    evidence("event_log", Value::Array(vec![event(MAX_EVENT_NAME, 0)])).unwrap();
    let error = evidence("event_log", Value::Array(vec![event(MAX_EVENT_NAME + 1, 0)])).unwrap_err();
    assert!(error.contains("event name: expected at most"), "{error}");

    let big = 64 * 1024;
    evidence(
        "event_log",
        Value::Array(vec![event(0, big); MAX_EVENT_LOG / big]),
    )
    .unwrap();
    let error = evidence(
        "event_log",
        Value::Array(vec![event(1, big); MAX_EVENT_LOG / big]),
    )
    .unwrap_err();
    assert!(error.contains("bytes in all, got more"), "{error}");
    evidence("event_log", Value::Array(vec![event(1, big + 1)])).unwrap_err();
}

#[test]
fn q8_proofs_above_their_bound_are_refused() {
    let proof = |count| {
        let path = vec![bytes(32); count];
        serde_json::from_value::<InclusionProof>(json!({"index": 0, "tree_size": 1, "path": path}))
    };
    proof(MAX_PATH).unwrap();
    proof(MAX_PATH + 1).unwrap_err();
}

/// A body with every part at its bound must not be refused for its size.
#[test]
fn the_largest_legal_evidence_fits_into_a_body() {
    let mut example = examples()["Evidence"][0].clone();
    example["quote"] = bytes(MAX_QUOTE);
    example["image_proof"] = bytes(MAX_IMAGE_PROOF);
    example["vm_config"] = Value::String("a".repeat(MAX_VM_CONFIG));
    example["event_log"] = Value::Array(vec![event(0, 64 * 1024); MAX_EVENT_LOG / (64 * 1024)]);
    let text = example.to_string();
    serde_json::from_str::<Evidence>(&text).unwrap();
    assert!(text.len() <= MAX_BODY, "{} > {MAX_BODY}", text.len());
    let csr = 2 * MAX_CSR + 64;
    assert!(text.len() + csr <= MAX_BODY, "{} > {MAX_BODY}", text.len() + csr);
}
