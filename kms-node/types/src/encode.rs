//! Length prefixes, so that two different lists of parts never give the same bytes.

/// Appends `u32 big-endian length ‖ part` for every part.
///
/// A part longer than `u32::MAX` cannot be written and yields its true length modulo 2³²; callers bound their parts
/// far below (the largest message of the protocol is 2 MiB).
pub fn length_prefixed<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(&(part.len() as u32).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}
