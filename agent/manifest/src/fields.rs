//! Fields of app-compose.json that may be written in more than one way.
//!
//! Refuses other types, versions in a form of their own, sizes that overflow, and more than [`MAX_INIT_SCRIPTS`] scripts.

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use std::fmt;

/// Each of them is an event of the boot log, which has room for five.
pub const MAX_INIT_SCRIPTS: usize = 5;
/// Newest form of the document that is understood.
const NEWEST: u32 = 3;
/// 1 TiB.
const MAX_SWAP: u64 = 1 << 40;

/// 1 or 2 as a number, or `"1"` to `"3"` as text without leading zeros or spaces.
pub(crate) fn manifest_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct Version;
    impl Visitor<'_> for Version {
        type Value = u32;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "manifest_version 1 or 2, or as text \"1\" to \"{NEWEST}\"")
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<u32, E> {
            match value {
                1 => Ok(1),
                2 => Ok(2),
                _ => Err(E::custom(format_args!(
                    "manifest_version: expected 1 or 2 as a number, newer ones as text, got {value}"
                ))),
            }
        }
        fn visit_str<E: Error>(self, value: &str) -> Result<u32, E> {
            let known = (1..=NEWEST).find(|version| version.to_string() == value);
            known.ok_or_else(|| {
                E::custom(format_args!(
                    "manifest_version: expected \"1\" to \"{NEWEST}\", got another text"
                ))
            })
        }
    }
    deserializer.deserialize_any(Version)
}

/// One script, a list of at most [`MAX_INIT_SCRIPTS`], or none.
pub(crate) fn init_scripts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Scripts;
    impl<'de> Visitor<'de> for Scripts {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(
                f,
                "init_script as text or a list of at most {MAX_INIT_SCRIPTS} texts"
            )
        }
        fn visit_unit<E>(self) -> Result<Vec<String>, E> {
            Ok(Vec::new())
        }
        fn visit_str<E>(self, script: &str) -> Result<Vec<String>, E> {
            Ok(vec![script.to_owned()])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut scripts = Vec::new();
            while let Some(script) = items.next_element::<String>()? {
                if scripts.len() == MAX_INIT_SCRIPTS {
                    return Err(A::Error::custom(format_args!(
                        "init_script: expected at most {MAX_INIT_SCRIPTS} scripts, got more"
                    )));
                }
                scripts.push(script);
            }
            Ok(scripts)
        }
    }
    deserializer.deserialize_any(Scripts)
}

/// Bytes as a number, or as text with K, M, G or T for powers of 1,024.
pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Size;
    impl Visitor<'_> for Size {
        type Value = u64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size in bytes, or text such as \"512M\" or \"2G\"")
        }
        fn visit_u64<E: Error>(self, bytes: u64) -> Result<u64, E> {
            if bytes > MAX_SWAP {
                return Err(E::custom(format_args!(
                    "size: expected at most {MAX_SWAP} bytes, got {bytes}"
                )));
            }
            Ok(bytes)
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
            let bytes = parse_size(text).ok_or_else(|| {
                E::custom("size: expected digits and at most one of K, M, G, T, got another text")
            })?;
            self.visit_u64(bytes)
        }
    }
    deserializer.deserialize_any(Size)
}

fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let (digits, shift) = UNITS
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix([*unit, unit.to_ascii_lowercase()])?, *shift)))
        .unwrap_or((text, 0));
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Bytes in hex, with or without `0x`; empty text for none.
pub(crate) fn hex_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    hex::decode(digits).map_err(|problem| D::Error::custom(format_args!("expected bytes in hex: {problem}")))
}

/// 32 bytes in hex, or none.
pub(crate) fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 32]>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let mut out = [0; 32];
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    hex::decode_to_slice(digits, &mut out)
        .map_err(|problem| D::Error::custom(format_args!("expected 32 bytes in hex: {problem}")))?;
    Ok(Some(out))
}
