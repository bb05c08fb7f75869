//! The body of dstack's webhook, `POST /bootAuth/…`: JSON as its KMS sends it, to a [`BootInfo`].
//!
//! Refuses a field that is missing, of another type or of another length (nothing is padded or cut), more than the
//! bounds below, and nesting no such body has. Fields this version does not know are passed over: newer callers send
//! more.

use kms_types::{BootInfo, InstanceId, TcbStatus};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, str::FromStr};

/// Largest body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// Deepest nesting of objects and arrays.
pub const MAX_DEPTH: usize = 16;
/// Most advisories.
pub const MAX_ADVISORIES: usize = 128;
/// Longest name of an advisory, in bytes.
pub const MAX_ADVISORY: usize = 64;

/// Why a body is not a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootFault {
    /// Not JSON, or not an object.
    #[error("body: expected a JSON object, got {detail}")]
    Syntax {
        /// What the parser says.
        detail: String,
    },
    /// Nested deeper than any such body is.
    #[error("body: expected at most {MAX_DEPTH} levels of nesting, got more")]
    Depth,
    /// Fields that are not what they must be; all of them.
    #[error("{}", lines(.0))]
    Fields(Vec<FieldFault>),
}

/// One field that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, got {actual}")]
pub struct FieldFault {
    /// Name, as in the body.
    pub field: &'static str,
    /// What is acceptable.
    pub expected: String,
    /// What came.
    pub actual: String,
}

fn lines(faults: &[FieldFault]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

/// The fields a contract is asked about, as yet unread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    mr_aggregated: Option<&'a RawValue>,
    #[serde(borrow)]
    os_image_hash: Option<&'a RawValue>,
    #[serde(borrow)]
    mr_system: Option<&'a RawValue>,
    #[serde(borrow)]
    app_id: Option<&'a RawValue>,
    #[serde(borrow)]
    compose_hash: Option<&'a RawValue>,
    #[serde(borrow)]
    instance_id: Option<&'a RawValue>,
    #[serde(borrow)]
    device_id: Option<&'a RawValue>,
    #[serde(borrow)]
    tcb_status: Option<&'a RawValue>,
    #[serde(borrow)]
    advisory_ids: Option<&'a RawValue>,
}

/// Reads a body.
///
/// # Errors
/// With every field that is not what it must be.
pub fn read_boot(body: &[u8]) -> Result<BootInfo, BootFault> {
    if !within_depth(body) {
        return Err(BootFault::Depth);
    }
    let fields: Fields<'_> = serde_json::from_slice(body).map_err(|error| BootFault::Syntax {
        detail: shown(&error.to_string()),
    })?;
    let mut faults = Vec::new();
    let app_id = hex_field("appId", 20, fields.app_id, &mut faults);
    let compose_hash = hex_field("composeHash", 32, fields.compose_hash, &mut faults);
    let instance_id = instance(fields.instance_id, &mut faults);
    let device_id = hex_field("deviceId", 32, fields.device_id, &mut faults);
    let mr_aggregated = hex_field("mrAggregated", 32, fields.mr_aggregated, &mut faults);
    let mr_system = hex_field("mrSystem", 32, fields.mr_system, &mut faults);
    let os_image_hash = hex_field("osImageHash", 32, fields.os_image_hash, &mut faults);
    let tcb_status = status(fields.tcb_status, &mut faults);
    let advisory_ids = advisories(fields.advisory_ids, &mut faults);
    let read = || {
        Some(BootInfo {
            app_id: app_id?,
            compose_hash: compose_hash?,
            instance_id: instance_id?,
            device_id: device_id?,
            mr_aggregated: mr_aggregated?,
            mr_system: mr_system?,
            os_image_hash: os_image_hash?,
            tcb_status: tcb_status?,
            advisory_ids: advisory_ids?,
        })
    };
    read().ok_or(BootFault::Fields(faults))
}

/// The value of a field as `T`, or a fault that names the field.
fn typed<T: DeserializeOwned>(
    field: &'static str,
    expected: &str,
    value: Option<&RawValue>,
    faults: &mut Vec<FieldFault>,
) -> Option<T> {
    let read = value.and_then(|value| serde_json::from_str(value.get()).ok());
    if read.is_none() {
        let actual = value.map_or_else(|| "nothing".to_owned(), |value| kind(value).to_owned());
        faults.push(fault(field, expected, actual));
    }
    read
}

/// Exactly `length` bytes, in hex with or without `0x`.
fn hex_field<T: FromStr<Err: fmt::Display>>(
    field: &'static str,
    length: usize,
    value: Option<&RawValue>,
    faults: &mut Vec<FieldFault>,
) -> Option<T> {
    let expected = format!("{length} bytes in hex");
    let text: Cow<'_, str> = typed::<String>(field, &expected, value, faults)?.into();
    match text.parse() {
        Ok(read) => Some(read),
        Err(_) => {
            let digits = text.strip_prefix("0x").unwrap_or(&text);
            let actual = if digits.len() == 2 * length {
                "other characters".to_owned()
            } else {
                format!("{} characters", digits.len())
            };
            faults.push(fault(field, &expected, actual));
            None
        }
    }
}

/// As any hex field, but empty for an app without instance ids, which contracts know as zero.
fn instance(value: Option<&RawValue>, faults: &mut Vec<FieldFault>) -> Option<InstanceId> {
    if value.is_some_and(|value| value.get() == "\"\"") {
        return Some(InstanceId::ZERO);
    }
    hex_field("instanceId", 20, value, faults)
}

fn status(value: Option<&RawValue>, faults: &mut Vec<FieldFault>) -> Option<TcbStatus> {
    let expected = "one of Intel's nine TCB statuses";
    let text: String = typed("tcbStatus", expected, value, faults)?;
    let read = text.parse().ok();
    if read.is_none() {
        faults.push(fault("tcbStatus", expected, format!("{:?}", shown(&text))));
    }
    read
}

fn advisories(value: Option<&RawValue>, faults: &mut Vec<FieldFault>) -> Option<Vec<String>> {
    let expected = format!("at most {MAX_ADVISORIES} names of at most {MAX_ADVISORY} printable characters");
    let read: Vec<String> = typed("advisoryIds", &expected, value, faults)?;
    let holds = |id: &String| {
        (1..=MAX_ADVISORY).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let actual = if read.len() > MAX_ADVISORIES {
        format!("{} names", read.len())
    } else if let Some(other) = read.iter().find(|id| !holds(id)) {
        format!("a name of {} bytes: {:?}", other.len(), shown(other))
    } else {
        return Some(read);
    };
    faults.push(fault("advisoryIds", &expected, actual));
    None
}

fn fault(field: &'static str, expected: &str, actual: String) -> FieldFault {
    FieldFault {
        field,
        expected: expected.to_owned(),
        actual,
    }
}

fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'"') => "another text",
        Some(b'{') => "an object",
        Some(b'[') => "a list with other content",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    }
}

/// The beginning of what came, fit for a log line.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

// Fields that are passed over are skipped by the parser without a limit of its own.
fn within_depth(body: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}
