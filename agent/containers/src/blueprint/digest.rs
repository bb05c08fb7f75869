//! A digest over a blueprint that does not depend on the order of maps: every value is written with its kind and length,
//! keys sorted.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Blueprint;

/// Changes when the meaning of a blueprint does, so that a new agent makes its containers anew.
const VERSION: &[u8] = b"container-runtime blueprint 1";

pub(super) fn digest(blueprint: &Blueprint) -> String {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    // A struct of numbers, text and maps with text keys always has a JSON value.
    absorb(&mut hash, &serde_json::to_value(blueprint).unwrap_or_default());
    hex::encode(hash.finalize())
}

fn absorb(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => part(hash, b'n', b""),
        Value::Bool(value) => part(hash, b'b', &[u8::from(*value)]),
        Value::Number(value) => part(hash, b'd', value.to_string().as_bytes()),
        Value::String(value) => part(hash, b's', value.as_bytes()),
        Value::Array(values) => {
            part(hash, b'a', &(values.len() as u64).to_be_bytes());
            values.iter().for_each(|value| absorb(hash, value));
        }
        Value::Object(values) => {
            part(hash, b'o', &(values.len() as u64).to_be_bytes());
            let mut sorted: Vec<_> = values.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            for (key, value) in sorted {
                part(hash, b'k', key.as_bytes());
                absorb(hash, value);
            }
        }
    }
}

fn part(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}
