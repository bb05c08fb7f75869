//! Input files: read within a bound, then parsed. Raw bytes, hex and the JSON shapes that guest agents hand out are told apart
//! by their first byte; whatever is none of them is refused.

use crate::exit::Failure;
use attestation::{MAX_EVENT_LOG_BYTES, MAX_QUOTE_BYTES};
use kms_types::EventLogEntry;
use serde_json::Value;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Longest file with a quote: hex, with an event log beside it in a JSON string.
const MAX_EVIDENCE_FILE: usize = 2 * MAX_QUOTE_BYTES + MAX_LOG_FILE;
/// Longest file with an event log: hex doubles, escapes and names add.
const MAX_LOG_FILE: usize = 4 * MAX_EVENT_LOG_BYTES;

/// A quote, and the event log that came with it.
pub(crate) struct Evidence {
    pub(crate) quote: Vec<u8>,
    pub(crate) event_log: Option<Vec<EventLogEntry>>,
}

/// Reads at most `max` bytes of a file, or of standard input.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::usage(format_args!("{}: {error}", path.display()));
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    // One byte above the bound is enough to know that there are too many.
    source
        .take(max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > max {
        return Err(Failure::usage(format_args!(
            "{}: expected at most {max} bytes, got more",
            path.display()
        )));
    }
    Ok(bytes)
}

/// Reads a file of UTF-8 text.
pub(crate) fn read_text(path: &Path, max: usize) -> Result<String, Failure> {
    String::from_utf8(read(path, max)?)
        .map_err(|_| Failure::usage(format_args!("{}: expected text, got other bytes", path.display())))
}

/// Reads a quote in any of its forms.
pub(crate) fn read_quote(path: &Path) -> Result<Evidence, Failure> {
    let bytes = read(path, MAX_EVIDENCE_FILE)?;
    parse_quote(bytes).map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
}

/// Reads an event log in any of its forms.
pub(crate) fn read_event_log(path: &Path) -> Result<Vec<EventLogEntry>, Failure> {
    let bytes = read(path, MAX_LOG_FILE)?;
    parse_event_log(&bytes).map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
}

/// Reads bytes that may be written in hex.
pub(crate) fn read_bytes(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let bytes = read(path, 2 * max + 4)?;
    Ok(hex_text(&bytes).unwrap_or(bytes))
}

pub(crate) fn parse_quote(bytes: Vec<u8>) -> Result<Evidence, String> {
    if first(&bytes) == Some(b'{') {
        let object: Value = serde_json::from_slice(&bytes).map_err(|error| format!("not JSON: {error}"))?;
        let quote = object
            .get("quote")
            .and_then(Value::as_str)
            .and_then(|text| hex_text(text.as_bytes()));
        return Ok(Evidence {
            quote: quote.ok_or("expected `quote` in hex")?,
            event_log: object.get("event_log").map(log_of).transpose()?,
        });
    }
    Ok(Evidence {
        quote: hex_text(&bytes).unwrap_or(bytes),
        event_log: None,
    })
}

pub(crate) fn parse_event_log(bytes: &[u8]) -> Result<Vec<EventLogEntry>, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("not JSON: {error}"))?;
    match value.get("event_log") {
        Some(log) => log_of(log),
        None => log_of(&value),
    }
}

/// An array, or a string that holds one.
fn log_of(value: &Value) -> Result<Vec<EventLogEntry>, String> {
    match value {
        Value::String(text) => serde_json::from_str(text),
        other => serde_json::from_value(other.clone()),
    }
    .map_err(|error| format!("not an event log: {error}"))
}

fn first(bytes: &[u8]) -> Option<u8> {
    bytes.trim_ascii_start().first().copied()
}

/// The bytes a hex text stands for; nothing when it is not one.
fn hex_text(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = bytes.trim_ascii();
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    hex::decode(digits).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn anything_parses_or_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse_event_log(&bytes);
            let _ = parse_quote(bytes);
        }

        #[test]
        fn raw_hex_and_json_give_the_same_quote(mut quote in proptest::collection::vec(any::<u8>(), 1..64)) {
            // A quote starts with its version, which is no digit and no brace.
            quote.splice(0..0, [4, 0]);
            let hex = hex::encode(&quote);
            for text in [format!("{hex}\n"), format!("0x{hex}"), format!(r#" {{"quote": "{hex}"}}"#)] {
                prop_assert_eq!(&parse_quote(text.into_bytes()).unwrap().quote, &quote);
            }
            prop_assert_eq!(&parse_quote(quote.clone()).unwrap().quote, &quote);
        }
    }

    #[test]
    fn event_logs_come_as_array_string_and_object() {
        let log = vec![EventLogEntry::runtime("app-id", &[1; 20]).unwrap()];
        let array = serde_json::to_value(&log).unwrap();
        let string = Value::String(array.to_string());
        for form in [
            array,
            string.clone(),
            serde_json::json!({ "quote": "00", "event_log": string }),
        ] {
            assert_eq!(parse_event_log(form.to_string().as_bytes()).unwrap(), log);
        }
        assert!(parse_event_log(br#"{"event_log": {}}"#).is_err());
    }
}
