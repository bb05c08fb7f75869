//! A DER writer for the few types Intel's SGX certificate extension uses (ITU-T X.690). Writes only; lengths below 64 KiB.

/// Tag, length, content.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn octets(bytes: &[u8]) -> Vec<u8> {
    tlv(0x04, bytes)
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    tlv(0x01, &[if value { 0xff } else { 0 }])
}

pub(crate) fn enumerated(value: u8) -> Vec<u8> {
    tlv(0x0a, &[value])
}

pub(crate) fn integer(value: u32) -> Vec<u8> {
    let mut digits: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
    // A leading one bit would read as a negative number, no digit at all as nothing.
    if digits.first().is_none_or(|b| b & 0x80 != 0) {
        digits.insert(0, 0);
    }
    tlv(0x02, &digits)
}

/// An object identifier under 1.2.840.113741.1.13.1, Intel's arc for SGX.
pub(crate) fn sgx_oid(tail: &[u8]) -> Vec<u8> {
    // 1.2.840.113741.1.13.1; the arcs of `tail` are below 128, one byte each.
    let mut content = vec![0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];
    content.extend_from_slice(tail);
    tlv(0x06, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_x690_says() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(0x7f), [2, 1, 0x7f]);
        assert_eq!(integer(0x80), [2, 2, 0, 0x80]);
        assert_eq!(integer(0x1_0000), [2, 3, 1, 0, 0]);
        assert_eq!(boolean(true), [1, 1, 0xff]);
        assert_eq!(octets(&[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(octets(&[7; 256])[..4], [4, 0x82, 1, 0]);
        assert_eq!(hex::encode(sgx_oid(&[2, 17])), "060b2a864886f84d010d010211");
    }
}
