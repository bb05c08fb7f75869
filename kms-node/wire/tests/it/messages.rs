//! Every message: read and written back unchanged; with an unknown field, without one, or with a changed length refused.

use kms_wire::{
    AppKeys, AppKeysResponse, CertificateRequest, CertificateResponse, ChallengeResponse, ConsistencyProof,
    EnvPublicKey, Evidence, InclusionProof, LeaseClaims, LeaseResponse, LogEntry, Meta, Problem,
    SignedTreeHead,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

type RoundTrip = fn(&Value) -> Result<Value, String>;

fn round_trip<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, String> {
    // Through text, as on the wire: some parsers behave differently from a tree.
    let text = serde_json::to_string(value).unwrap();
    let message: T = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    Ok(serde_json::to_value(&message).unwrap())
}

const MESSAGES: [(&str, RoundTrip); 15] = [
    ("ChallengeResponse", round_trip::<ChallengeResponse>),
    ("Evidence", round_trip::<Evidence>),
    ("AppKeysResponse", round_trip::<AppKeysResponse>),
    ("AppKeys", round_trip::<AppKeys>),
    ("LeaseResponse", round_trip::<LeaseResponse>),
    ("LeaseClaims", round_trip::<LeaseClaims>),
    ("CertificateRequest", round_trip::<CertificateRequest>),
    ("CertificateResponse", round_trip::<CertificateResponse>),
    ("EnvPublicKey", round_trip::<EnvPublicKey>),
    ("Meta", round_trip::<Meta>),
    ("SignedTreeHead", round_trip::<SignedTreeHead>),
    ("LogEntry", round_trip::<LogEntry>),
    ("InclusionProof", round_trip::<InclusionProof>),
    ("ConsistencyProof", round_trip::<ConsistencyProof>),
    ("Problem", round_trip::<Problem>),
];

/// Fields that may have any length up to a bound.
const BOUNDED: [&str; 5] = ["quote", "event_payload", "image_proof", "ciphertext", "csr"];
/// Fields that may be absent, or null.
const OPTIONAL: [&str; 12] = [
    "disk_generation",
    "instance_seed",
    "key_epoch",
    "head",
    "finalized",
    "tree_head",
    "check",
    "expected",
    "actual",
    "reason",
    "block",
    "request_id",
];

pub(crate) fn examples() -> Map<String, Value> {
    let path = format!("{}/vectors/messages.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn example<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(examples()[name][0].clone()).unwrap()
}

fn each(mut check: impl FnMut(&str, RoundTrip, &Value)) {
    let examples = examples();
    assert_eq!(
        examples.len(),
        MESSAGES.len(),
        "an example without a message or the other way round"
    );
    for (name, read) in MESSAGES {
        for example in examples[name].as_array().unwrap() {
            check(name, read, example);
        }
    }
}

/// Paths (JSON pointers) of all values below one.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(k, v)| pointers(v, &format!("{at}/{k}"), out)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, v)| pointers(v, &format!("{at}/{n}"), out)),
        _ => {}
    }
}

fn changed(value: &Value, pointer: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut value = value.clone();
    change(value.pointer_mut(pointer).unwrap());
    value
}

fn name_of(pointer: &str) -> &str {
    pointer
        .rsplit('/')
        .find(|part| part.parse::<usize>().is_err())
        .unwrap_or_default()
}

#[test]
fn every_message_comes_back_unchanged() {
    each(|name, read, example| assert_eq!(&read(example).unwrap(), example, "{name}"));
}

#[test]
fn unknown_fields_are_refused_at_every_depth() {
    let mut tried = 0;
    each(|name, read, example| {
        let mut all = Vec::new();
        pointers(example, "", &mut all);
        for at in all.iter().filter(|at| example.pointer(at).unwrap().is_object()) {
            // A later version may tell a client more about an error.
            if name == "Problem" && at.is_empty() {
                continue;
            }
            let more = changed(example, at, |v| {
                v.as_object_mut()
                    .unwrap()
                    .insert("unknown".to_owned(), Value::Null);
            });
            let error = read(&more).unwrap_err();
            assert!(error.contains("unknown field"), "{name}{at}: {error}");
            tried += 1;
        }
    });
    assert!(tried > 50, "{tried}");
}

#[test]
fn missing_fields_are_refused_at_every_depth() {
    each(|name, read, example| {
        let mut all = Vec::new();
        pointers(example, "", &mut all);
        for at in &all {
            let Some(fields) = example.pointer(at).unwrap().as_object() else {
                continue;
            };
            for field in fields.keys() {
                // Optional in the message itself; `key_epoch` of a log entry or an identity is not.
                let evidence = name == "Evidence" || at == "/evidence";
                let optional = OPTIONAL.contains(&field.as_str())
                    && (evidence
                        || field == "disk_generation"
                        || name == "Problem" && at.is_empty()
                        || name == "Meta" && at.is_empty());
                let less = changed(example, at, |v| {
                    v.as_object_mut().unwrap().remove(field);
                });
                assert_eq!(read(&less).is_ok(), optional, "{name}{at} without {field}");
            }
        }
    });
}

#[test]
fn wrong_lengths_are_refused_and_never_padded() {
    let mut tried = 0;
    each(|name, read, example| {
        let mut all = Vec::new();
        pointers(example, "", &mut all);
        for at in &all {
            let Some(text) = example.pointer(at).unwrap().as_str() else {
                continue;
            };
            let secret = ["disk_key", "env_key", "app_key"].contains(&name_of(at));
            if !text.starts_with("0x") && !secret {
                continue;
            }
            if name_of(at) == "iss" {
                continue;
            }
            for wrong in [format!("{text}00"), text[..text.len() - 2].to_owned()] {
                let other = changed(example, at, |v| *v = Value::String(wrong));
                assert_eq!(read(&other).is_ok(), BOUNDED.contains(&name_of(at)), "{name}{at}");
                tried += 1;
            }
            // Half a byte is none.
            let half = changed(example, at, |v| *v = Value::String(format!("{text}0")));
            assert!(read(&half).is_err(), "{name}{at}: half a byte");
            let digit = changed(example, at, |v| {
                *v = Value::String(text.replacen(|c: char| c.is_ascii_hexdigit() && c != '0', "g", 1))
            });
            assert!(read(&digit).is_err() || digit == *example, "{name}{at}: no digit");
        }
    });
    assert!(tried > 150, "{tried}");
}

#[test]
fn other_types_are_refused() {
    each(|name, read, example| {
        let mut all = Vec::new();
        pointers(example, "", &mut all);
        for at in &all {
            for other in [
                Value::Bool(false),
                Value::from(-1),
                Value::from(1.5),
                serde_json::json!({}),
            ] {
                let original = example.pointer(at).unwrap();
                if original.is_boolean() && other.is_boolean() {
                    continue;
                }
                let other = changed(example, at, |v| *v = other);
                assert!(read(&other).is_err(), "{name}{at}: {other}");
            }
        }
    });
}

#[test]
fn hex_is_read_with_and_without_prefix_and_written_with_it() {
    each(|name, read, example| {
        let mut bare = example.clone();
        let mut all = Vec::new();
        pointers(example, "", &mut all);
        for at in all.iter().filter(|at| name_of(at) != "iss") {
            if let Some(digits) = example
                .pointer(at)
                .unwrap()
                .as_str()
                .and_then(|t| t.strip_prefix("0x"))
            {
                *bare.pointer_mut(at).unwrap() = Value::String(digits.to_uppercase());
            }
        }
        assert_eq!(&read(&bare).unwrap(), example, "{name}");
    });
}

/// Two values for one name: two readers could each believe another one.
#[test]
fn repeated_fields_are_refused() {
    let text = serde_json::to_string(&examples()["Evidence"][0]).unwrap();
    let twice = text.replacen('{', r#"{"vm_config":"","#, 1);
    let error = serde_json::from_str::<Evidence>(&twice).unwrap_err().to_string();
    assert!(error.contains("duplicate field"), "{error}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in ".{0,200}") {
        let _ = serde_json::from_str::<Evidence>(&text);
        let _ = serde_json::from_str::<CertificateRequest>(&text);
        let _ = serde_json::from_str::<AppKeysResponse>(&text);
    }

    /// What is read is what is written: no second text for one message, apart from the form of hex.
    #[test]
    fn a_mutated_example_is_refused_or_stable(at: proptest::sample::Index, byte in 0x20_u8..0x7f) {
        let mut text = serde_json::to_string(&examples()["AppKeysResponse"][0]).unwrap().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(read) = serde_json::from_slice::<AppKeysResponse>(&text) {
            let written = serde_json::to_string(&read).unwrap();
            let again: AppKeysResponse = serde_json::from_str(&written).unwrap();
            proptest::prop_assert_eq!(serde_json::to_string(&again).unwrap(), written);
        }
    }
}
