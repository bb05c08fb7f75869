//! The text under the encryption, `{"env":[{"key":…,"value":…}]}`, written and read without leaving copies of the values.
//!
//! Refuses other JSON, names that come twice, and values beyond their bounds. Names outside `allowed_envs` are dropped and counted.

use crate::{
    env_name::EnvName,
    environment::{EnvValue, EnvValueError, Environment, MAX_ENV_VARS, MAX_PLAINTEXT},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeSet};
use zeroize::Zeroizing;

/// Why the text is refused. Neither text nor values are repeated, for they are secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvTextError {
    /// Above the bound.
    #[error("environment text: expected at most {MAX_PLAINTEXT} bytes, got {actual}")]
    TooLong {
        /// What came.
        actual: usize,
    },
    /// Other JSON, or none.
    #[error(
        "environment text: expected {{\"env\":[{{\"key\",\"value\"}}]}}, got something else at line {line}, column {column}"
    )]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// More variables than there may be.
    #[error("environment text: expected at most {MAX_ENV_VARS} variables, got {actual}")]
    TooMany {
        /// What came.
        actual: usize,
    },
    /// A name came twice.
    #[error("environment text: expected the name {name} once, got it twice")]
    Repeated {
        /// The name.
        name: EnvName,
    },
    /// A value is no text.
    #[error("environment text: expected text as the value of {name}, got something else")]
    NoText {
        /// The name.
        name: EnvName,
    },
    /// A value is beyond its bounds.
    #[error("{name}: {problem}")]
    Value {
        /// The name.
        name: EnvName,
        /// What is wrong with it.
        #[source]
        problem: EnvValueError,
    },
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    env: Vec<Pair<'a>>,
}

// K4: a parser's own buffers are not wiped; so values stay where they are until they are copied once, into one that is.
#[derive(Deserialize)]
struct Pair<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Writes the text, names in ascending order.
pub(crate) fn write(environment: &Environment) -> Result<Zeroizing<Vec<u8>>, EnvTextError> {
    let escaped = |text: &str| text.len() * 6;
    let room = environment
        .iter()
        .map(|(name, value)| 24 + name.as_str().len() + escaped(value.expose()));
    // Enough for all, so that growing never leaves a copy behind.
    let mut out = Zeroizing::new(Vec::with_capacity(16 + room.sum::<usize>()));
    out.extend_from_slice(b"{\"env\":[");
    for (at, (name, value)) in environment.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"key\":\"" } else { b",{\"key\":\"" });
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b"\",\"value\":\"");
        escape(value.expose(), &mut out);
        out.extend_from_slice(b"\"}");
    }
    out.extend_from_slice(b"]}");
    if out.len() > MAX_PLAINTEXT {
        return Err(EnvTextError::TooLong { actual: out.len() });
    }
    Ok(out)
}

fn escape(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            8 => out.extend_from_slice(b"\\b"),
            9 => out.extend_from_slice(b"\\t"),
            10 => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            13 => out.extend_from_slice(b"\\r"),
            0..=0x1f => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]),
            _ => out.push(byte),
        }
    }
}

/// Reads the text and keeps what is allowed.
pub(crate) fn read(text: &[u8], allowed: &BTreeSet<EnvName>) -> Result<Environment, EnvTextError> {
    if text.len() > MAX_PLAINTEXT {
        return Err(EnvTextError::TooLong { actual: text.len() });
    }
    let parsed: Text<'_> = serde_json::from_slice(text).map_err(|error| EnvTextError::Json {
        line: error.line(),
        column: error.column(),
    })?;
    if parsed.env.len() > MAX_ENV_VARS {
        return Err(EnvTextError::TooMany {
            actual: parsed.env.len(),
        });
    }
    let mut environment = Environment::new();
    for pair in parsed.env {
        // G5: whoever encrypts chooses values, not which variables the app has.
        let Some(name) = allowed.get(pair.key.as_ref()).cloned() else {
            environment.count_dropped();
            continue;
        };
        if environment.value(name.as_str()).is_some() {
            return Err(EnvTextError::Repeated { name });
        }
        let value = value(&name, pair.value)?;
        environment
            .set(name.clone(), value)
            .map_err(|problem| EnvTextError::Value { name, problem })?;
    }
    Ok(environment)
}

fn value(name: &EnvName, raw: &RawValue) -> Result<EnvValue, EnvTextError> {
    let no_text = || EnvTextError::NoText { name: name.clone() };
    let inner = raw
        .get()
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = unescape(inner.ok_or_else(no_text)?).ok_or_else(no_text)?;
    EnvValue::new(text).map_err(|problem| EnvTextError::Value {
        name: name.clone(),
        problem,
    })
}

/// The inside of a JSON text without its escapes. A text never grows by this, so one allocation is enough.
fn unescape(inner: &str) -> Option<String> {
    let mut out = Zeroizing::new(String::with_capacity(inner.len()));
    let mut rest = inner;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escaped.chars();
        let decoded = match chars.next()? {
            'u' => unicode(&mut chars)?,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            same @ ('"' | '\\' | '/') => same,
            _ => return None,
        };
        out.push(decoded);
        rest = chars.as_str();
    }
    out.push_str(rest);
    Some(std::mem::take(&mut *out))
}

/// `XXXX`, or `XXXX\uXXXX` for a surrogate pair; a lone surrogate is no character.
fn unicode(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let mut unit =
        || -> Option<u32> { (0..4).try_fold(0, |value, _| Some(value * 16 + chars.next()?.to_digit(16)?)) };
    let first = unit()?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    let rest = chars.as_str().strip_prefix("\\u")?;
    *chars = rest.chars();
    let second = (0..4).try_fold(0, |value, _| Some(value * 16 + chars.next()?.to_digit(16)?))?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low)
}
