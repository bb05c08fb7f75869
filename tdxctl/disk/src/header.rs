//! A LUKS2 header (LUKS2 On-Disk Format Specification 1.1.x) against the one template this guest formats with. Everything that decides
//! how data is encrypted is compared; salts, UUID, checksums and lengths are free within their form. A header a host made up, with a
//! null cipher or a second segment, is refused before `cryptsetup` sees it, whatever its own checksums say.

use crate::layout::{DATA, HEADER_LEN, KEYSLOTS, METADATA};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Binary part of one copy.
const BINARY: usize = 4096;
const CIPHER: &str = "aes-xts-plain64";
/// AES-256-XTS and HMAC-SHA-256.
const VOLUME_KEY: u32 = 64 + 32;
const STRIPES: u32 = 4000;
/// The key has 512 random bits: iterations would only cost time.
const ITERATIONS: u32 = 1000;
const MAX_ITERATIONS: u32 = 1 << 24;

/// A header that is not of the template.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field}: expected {expected}, got {actual}")]
pub struct HeaderError {
    /// Which field.
    pub field: &'static str,
    /// What the template has.
    pub expected: String,
    /// What came.
    pub actual: String,
}

/// For tests and fuzzing.
#[doc(hidden)]
pub mod test_support {
    use super::{METADATA, checksum};

    /// Puts checksums that hold into both copies.
    pub fn with_checksums(bytes: &mut [u8]) {
        for copy in bytes.chunks_exact_mut(METADATA).take(2) {
            let sum = checksum(copy);
            for (to, from) in copy.iter_mut().skip(448).zip(sum) {
                *to = from;
            }
        }
    }
}

fn refuse<T>(field: &'static str, expected: impl ToString, actual: impl ToString) -> Result<T, HeaderError> {
    Err(HeaderError {
        field,
        expected: expected.to_string(),
        actual: actual.to_string().chars().take(80).collect(),
    })
}

fn equal<T: PartialEq + std::fmt::Debug>(
    field: &'static str,
    expected: T,
    actual: T,
) -> Result<(), HeaderError> {
    if expected == actual {
        return Ok(());
    }
    refuse(field, format!("{expected:?}"), format!("{actual:?}"))
}

/// Checks the whole header area of a disk.
///
/// # Errors
/// With the first field that is not the template's.
pub fn check(bytes: &[u8]) -> Result<(), HeaderError> {
    equal("length", HEADER_LEN, bytes.len())?;
    let (first, rest) = bytes.split_at(METADATA.min(bytes.len()));
    let second = rest.get(..METADATA).unwrap_or_default();
    let first = copy(first, b"LUKS\xba\xbe", 0)?;
    let second = copy(second, b"SKUL\xba\xbe", METADATA as u64)?;
    // Two copies that differ let the host choose which one counts.
    equal("metadata copies", first, second)?;
    metadata(first)
}

/// One copy: its binary part checked, its JSON text.
fn copy<'a>(bytes: &'a [u8], magic: &[u8; 6], offset: u64) -> Result<&'a str, HeaderError> {
    let field = |from: usize, len: usize| bytes.get(from..from + len).unwrap_or_default();
    let number = |from: usize| {
        field(from, 8)
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    equal("magic", magic.as_slice(), field(0, 6))?;
    equal("version", [0, 2].as_slice(), field(6, 2))?;
    equal("header size", METADATA as u64, number(8))?;
    equal("label", [0; 48].as_slice(), field(24, 48))?;
    let mut algorithm = [0; 32];
    algorithm
        .iter_mut()
        .zip(b"sha256")
        .for_each(|(to, from)| *to = *from);
    equal("checksum algorithm", algorithm.as_slice(), field(72, 32))?;
    let uuid = field(168, 40);
    if !uuid
        .iter()
        .all(|byte| *byte == 0 || byte.is_ascii_hexdigit() || *byte == b'-')
    {
        return refuse("uuid", "hex digits and dashes", String::from_utf8_lossy(uuid));
    }
    equal("subsystem", [0; 48].as_slice(), field(208, 48))?;
    equal("header offset", offset, number(256))?;
    equal("padding", [0; 184].as_slice(), field(264, 184))?;
    equal("checksum", checksum(bytes).as_slice(), field(448, 64))?;
    if field(512, BINARY - 512).iter().any(|byte| *byte != 0) {
        return refuse("padding to 4096", "zeros", "other bytes");
    }
    let json = bytes.get(BINARY..).unwrap_or_default();
    let end = json.iter().position(|byte| *byte == 0).unwrap_or(json.len());
    let (text, padding) = json.split_at(end);
    if padding.iter().any(|byte| *byte != 0) {
        return refuse("end of the JSON area", "zeros", "other bytes");
    }
    std::str::from_utf8(text).or_else(|_| refuse("JSON", "UTF-8", "other bytes"))
}

/// Checksum of one copy, over the copy with zeros in its place.
fn checksum(copy: &[u8]) -> [u8; 64] {
    let mut digest = Sha256::new();
    digest.update(copy.get(..448).unwrap_or_default());
    digest.update([0; 64]);
    digest.update(copy.get(512..).unwrap_or_default());
    let mut sum = [0; 64];
    sum.iter_mut()
        .zip(digest.finalize())
        .for_each(|(to, from)| *to = from);
    sum
}

/// The JSON, of which no key may be missing, unknown or there twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    keyslots: One<Keyslot>,
    tokens: Nothing,
    segments: One<Segment>,
    digests: One<KeyDigest>,
    config: Config,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One<T> {
    #[serde(rename = "0")]
    only: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keyslot {
    #[serde(rename = "type")]
    kind: String,
    key_size: u32,
    af: AntiForensic,
    area: Area,
    kdf: Kdf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AntiForensic {
    #[serde(rename = "type")]
    kind: String,
    stripes: u32,
    hash: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Area {
    #[serde(rename = "type")]
    kind: String,
    offset: String,
    size: String,
    encryption: String,
    key_size: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    #[serde(rename = "type")]
    kind: String,
    hash: String,
    iterations: u32,
    salt: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Segment {
    #[serde(rename = "type")]
    kind: String,
    offset: String,
    size: String,
    iv_tweak: String,
    encryption: String,
    sector_size: u32,
    integrity: Integrity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Integrity {
    #[serde(rename = "type")]
    kind: String,
    journal_encryption: String,
    journal_integrity: String,
    #[serde(default)]
    key_size: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDigest {
    #[serde(rename = "type")]
    kind: String,
    keyslots: Vec<String>,
    segments: Vec<String>,
    hash: String,
    iterations: u32,
    salt: String,
    digest: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    json_size: String,
    keyslots_size: String,
}

fn metadata(text: &str) -> Result<(), HeaderError> {
    let all: Metadata = match serde_json::from_str(text) {
        Ok(all) => all,
        Err(error) => return refuse("JSON", "the template's keys, each once", error),
    };
    let Nothing {} = all.tokens;
    keyslot(&all.keyslots.only)?;
    segment(&all.segments.only)?;
    digest(&all.digests.only)?;
    equal(
        "config.json_size",
        (METADATA - BINARY).to_string(),
        all.config.json_size,
    )?;
    equal(
        "config.keyslots_size",
        KEYSLOTS.to_string(),
        all.config.keyslots_size,
    )
}

fn keyslot(slot: &Keyslot) -> Result<(), HeaderError> {
    equal("keyslot.type", "luks2", slot.kind.as_str())?;
    equal("keyslot.key_size", VOLUME_KEY, slot.key_size)?;
    equal("keyslot.af.type", "luks1", slot.af.kind.as_str())?;
    equal("keyslot.af.stripes", STRIPES, slot.af.stripes)?;
    equal("keyslot.af.hash", "sha256", slot.af.hash.as_str())?;
    equal("keyslot.area.type", "raw", slot.area.kind.as_str())?;
    equal(
        "keyslot.area.offset",
        (2 * METADATA).to_string(),
        slot.area.offset.clone(),
    )?;
    let size = (VOLUME_KEY * STRIPES).next_multiple_of(4096);
    equal("keyslot.area.size", size.to_string(), slot.area.size.clone())?;
    equal("keyslot.area.encryption", CIPHER, slot.area.encryption.as_str())?;
    equal("keyslot.area.key_size", 64, slot.area.key_size)?;
    equal("keyslot.kdf.type", "pbkdf2", slot.kdf.kind.as_str())?;
    equal("keyslot.kdf.hash", "sha256", slot.kdf.hash.as_str())?;
    equal("keyslot.kdf.iterations", ITERATIONS, slot.kdf.iterations)?;
    bytes("keyslot.kdf.salt", &slot.kdf.salt, 32)
}

fn segment(segment: &Segment) -> Result<(), HeaderError> {
    equal("segment.type", "crypt", segment.kind.as_str())?;
    equal("segment.offset", DATA.to_string(), segment.offset.clone())?;
    equal("segment.size", "dynamic", segment.size.as_str())?;
    equal("segment.iv_tweak", "0", segment.iv_tweak.as_str())?;
    // G4: a null cipher would have the guest write its data in the clear, and read the host's.
    equal("segment.encryption", CIPHER, segment.encryption.as_str())?;
    equal("segment.sector_size", 4096, segment.sector_size)?;
    equal(
        "segment.integrity.type",
        "hmac(sha256)",
        segment.integrity.kind.as_str(),
    )?;
    let journal = &segment.integrity;
    equal(
        "segment.integrity.journal_encryption",
        "none",
        journal.journal_encryption.as_str(),
    )?;
    equal(
        "segment.integrity.journal_integrity",
        "none",
        journal.journal_integrity.as_str(),
    )?;
    equal("segment.integrity.key_size", None, journal.key_size)
}

fn digest(digest: &KeyDigest) -> Result<(), HeaderError> {
    equal("digest.type", "pbkdf2", digest.kind.as_str())?;
    equal("digest.keyslots", &[String::from("0")][..], &digest.keyslots[..])?;
    equal("digest.segments", &[String::from("0")][..], &digest.segments[..])?;
    equal("digest.hash", "sha256", digest.hash.as_str())?;
    if !(ITERATIONS..=MAX_ITERATIONS).contains(&digest.iterations) {
        return refuse(
            "digest.iterations",
            format!("{ITERATIONS} to {MAX_ITERATIONS}"),
            digest.iterations,
        );
    }
    bytes("digest.salt", &digest.salt, 32)?;
    bytes("digest.digest", &digest.digest, 32)
}

fn bytes(field: &'static str, text: &str, length: usize) -> Result<(), HeaderError> {
    match BASE64_STANDARD.decode(text) {
        Ok(bytes) if bytes.len() == length => Ok(()),
        _ => refuse(field, format!("{length} bytes in base64"), text),
    }
}
