//! Authenticode digest of a PE image, SHA-384: what firmware measures of a program before it starts it (Microsoft,
//! "Windows Authenticode Portable Executable Signature Format", "Calculating the PE image hash"; PE format).
//!
//! Left out of the hash: the checksum, the entry of the certificate table, the certificates. Refuses files whose headers or
//! sections leave the file or lie over each other.

use crate::bytes::{slice, u16_at, usize_at};
use sha2::{Digest, Sha384};

/// Bytes of an image.
pub const MAX_IMAGE: usize = 256 << 20;
/// Sections the PE format allows.
const MAX_SECTIONS: usize = 96;
const SECTION_LEN: usize = 40;
/// Position of the certificate table among the data directories.
const CERTIFICATES: usize = 4;

/// Why a file has no Authenticode digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("PE image: {what}: expected {expected}, got {actual}")]
pub struct PeError {
    /// Which field.
    pub what: &'static str,
    /// What would do.
    pub expected: String,
    /// What came.
    pub actual: String,
}

fn error(what: &'static str, expected: impl ToString, actual: impl ToString) -> PeError {
    PeError {
        what,
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

/// Where the parts of the header are.
struct Header {
    checksum: usize,
    /// The entry of the certificate table, when the image has one.
    certificate_entry: Option<usize>,
    certificate_bytes: usize,
    size_of_headers: usize,
    sections_at: usize,
    sections: usize,
}

/// Authenticode digest of an image.
///
/// # Errors
/// When the file is no PE image, or its fields do not fit it.
pub fn authenticode_sha384(image: &[u8]) -> Result<[u8; 48], PeError> {
    if image.len() > MAX_IMAGE {
        return Err(error("size", format!("at most {MAX_IMAGE} bytes"), image.len()));
    }
    let header = header(image)?;
    let mut hash = Sha384::new();
    let part = |from: usize, to: usize| {
        image.get(from..to).ok_or_else(|| {
            error(
                "header",
                format!("parts in order inside {} bytes", image.len()),
                to,
            )
        })
    };
    hash.update(part(0, header.checksum)?);
    let after_checksum = header.checksum + 4;
    match header.certificate_entry {
        Some(entry) => {
            hash.update(part(after_checksum, entry)?);
            hash.update(part(entry + 8, header.size_of_headers)?);
        }
        None => hash.update(part(after_checksum, header.size_of_headers)?),
    }
    let mut hashed = header.size_of_headers;
    for (offset, size) in sections(image, &header)? {
        let data = slice(image, offset, size)
            .ok_or_else(|| error("section", format!("data inside {} bytes", image.len()), offset))?;
        hash.update(data);
        // Sections over each other would be hashed twice and what lies behind them not at all.
        hashed = hashed
            .checked_add(size)
            .filter(|sum| *sum <= image.len())
            .ok_or_else(|| {
                error(
                    "sections",
                    format!("at most {} bytes together", image.len()),
                    size,
                )
            })?;
    }
    let end = image
        .len()
        .checked_sub(header.certificate_bytes)
        .filter(|end| *end >= hashed)
        .ok_or_else(|| {
            error(
                "certificates",
                "a table behind the sections",
                header.certificate_bytes,
            )
        })?;
    hash.update(part(hashed, end)?);
    Ok(hash.finalize().into())
}

fn header(image: &[u8]) -> Result<Header, PeError> {
    let cut = |what| error(what, "a field inside the file", format!("{} bytes", image.len()));
    if slice(image, 0, 2) != Some(b"MZ") {
        return Err(error("first bytes", "MZ", "others"));
    }
    let pe = usize_at(image, 0x3c).ok_or_else(|| cut("offset of the PE header"))?;
    if slice(image, pe, 4) != Some(b"PE\0\0") {
        return Err(error("signature", "PE", format!("other bytes at {pe:#x}")));
    }
    let sections = usize::from(u16_at(image, pe + 6).ok_or_else(|| cut("section count"))?);
    if sections > MAX_SECTIONS {
        return Err(error(
            "section count",
            format!("at most {MAX_SECTIONS}"),
            sections,
        ));
    }
    let optional_len =
        usize::from(u16_at(image, pe + 20).ok_or_else(|| cut("length of the optional header"))?);
    let optional = pe + 24;
    let directories = match u16_at(image, optional) {
        Some(0x10b) => 92,
        Some(0x20b) => 108,
        other => return Err(error("magic", "0x10b or 0x20b", format!("{other:x?}"))),
    };
    let count = usize_at(image, optional + directories).ok_or_else(|| cut("count of directories"))?;
    let entry = optional + directories + 4 + CERTIFICATES * 8;
    let has_entry = count > CERTIFICATES && entry + 8 <= optional + optional_len;
    let certificate_bytes = if has_entry {
        usize_at(image, entry + 4).ok_or_else(|| cut("certificate table"))?
    } else {
        0
    };
    let size_of_headers = usize_at(image, optional + 60).ok_or_else(|| cut("size of headers"))?;
    let sections_at = optional + optional_len;
    if sections_at + sections * SECTION_LEN > size_of_headers {
        return Err(error(
            "size of headers",
            format!("at least {}", sections_at + sections * SECTION_LEN),
            size_of_headers,
        ));
    }
    Ok(Header {
        checksum: optional + 64,
        certificate_entry: has_entry.then_some(entry),
        certificate_bytes,
        size_of_headers,
        sections_at,
        sections,
    })
}

/// Offset and size of every section with data, by offset.
fn sections(image: &[u8], header: &Header) -> Result<Vec<(usize, usize)>, PeError> {
    let mut found = Vec::with_capacity(header.sections);
    for index in 0..header.sections {
        let at = header.sections_at + index * SECTION_LEN;
        let (Some(size), Some(offset)) = (usize_at(image, at + 16), usize_at(image, at + 20)) else {
            return Err(error("section", "a header inside the file", at));
        };
        if size > 0 {
            found.push((offset, size));
        }
    }
    found.sort_unstable();
    let mut end = 0;
    for (offset, size) in &found {
        if *offset < end {
            return Err(error(
                "section",
                format!("data from {end:#x}"),
                format!("{offset:#x}"),
            ));
        }
        end = offset.saturating_add(*size);
    }
    Ok(found)
}
