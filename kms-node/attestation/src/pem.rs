//! Certificate chains in PEM, in exactly one spelling: 64-column lines, line feeds, nothing before, between or after
//! but one optional closing line feed and one optional closing NUL (as quoting services write it). Any other spelling
//! is refused, so that no byte of a chain is free to change.

use crate::{AttestationError, Mismatch, error::ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Most certificates in one chain.
pub(crate) const MAX_CERTIFICATES: usize = 8;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";
const END: &str = "-----END CERTIFICATE-----";
const COLUMNS: usize = 64;

/// The DER certificates of a chain.
pub(crate) fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<Vec<u8>>, AttestationError> {
    let pem = pem.strip_suffix(b"\0").unwrap_or(pem);
    let text = std::str::from_utf8(pem).map_err(|e| malformed(what, "ASCII", e))?;
    let mut rest = text.strip_suffix('\n').unwrap_or(text);
    let mut out = Vec::new();
    loop {
        // Q8: path building is tried over every certificate, so their number is bounded before one is decoded.
        ensure(
            out.len() < MAX_CERTIFICATES,
            AttestationError::Bounds,
            what,
            format_args!("at most {MAX_CERTIFICATES} certificates"),
            "more",
        )?;
        let body = rest
            .strip_prefix(BEGIN)
            .ok_or_else(|| malformed(what, "BEGIN CERTIFICATE line", "something else"))?;
        let (base64, after) = body
            .split_once(END)
            .ok_or_else(|| malformed(what, "END CERTIFICATE line", "none"))?;
        out.push(decode(what, base64)?);
        if after.is_empty() {
            return Ok(out);
        }
        rest = after
            .strip_prefix('\n')
            .ok_or_else(|| malformed(what, "line feed after END CERTIFICATE", "something else"))?;
    }
}

fn decode(what: &'static str, lines: &str) -> Result<Vec<u8>, AttestationError> {
    let lines = lines
        .strip_suffix('\n')
        .ok_or_else(|| malformed(what, "line feed before END CERTIFICATE", "none"))?;
    let mut digits = String::with_capacity(lines.len());
    let mut full = true;
    for line in lines.split('\n') {
        let fits = full && (1..=COLUMNS).contains(&line.len());
        ensure(
            fits,
            AttestationError::Bounds,
            what,
            "lines of 64 columns",
            line.len(),
        )?;
        full = line.len() == COLUMNS;
        digits.push_str(line);
    }
    STANDARD
        .decode(digits)
        .map_err(|e| malformed(what, "canonical base64", e))
}

fn malformed(what: &'static str, expected: &'static str, actual: impl std::fmt::Display) -> AttestationError {
    AttestationError::Bounds(Mismatch::new(what, expected, actual))
}
