//! Layout of a TDX quote (Intel TDX DCAP Quoting Library API, appendix A.3 and A.4: versions 4 and 5), borrowed from
//! its bytes. Refuses SGX, unknown versions, body and certification types, lengths that do not add up exactly, and
//! anything but zero padding after the signature data. Nothing here is verified.

use crate::{
    AttestationError, Mismatch,
    error::ensure,
    layout::{Ex15, Header, Tail, Td10, Td15},
    reader::Reader,
};

/// Longest quote that is looked at.
pub const MAX_QUOTE_BYTES: usize = 16 * 1024;

/// Body types of a version 5 quote.
const BODY_TD10: u16 = 2;
const BODY_TD15: u16 = 3;
const BODY_TD15_EX: u16 = 4;

/// Certification data: a QE report with its own certification data, and a PEM chain.
const OUTER_QE_REPORT: u16 = 6;
const INNER_PCK_CHAIN: u16 = 5;

/// A quote taken apart. Every reference points into the bytes it was parsed from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quote<'a> {
    pub(crate) header: Header<'a>,
    pub(crate) td: Td10<'a>,
    pub(crate) td15: Option<Td15<'a>>,
    pub(crate) ex15: Option<Ex15<'a>>,
    /// Header and body: what the attestation key signed.
    pub(crate) signed: &'a [u8],
    /// ECDSA P-256 signature over `signed`, r ‖ s.
    pub(crate) signature: &'a [u8; 64],
    /// The attestation key, x ‖ y.
    pub(crate) attestation_key: &'a [u8; 64],
    /// Everything from the attestation key to the end of the signature data.
    pub(crate) certification: &'a [u8],
    /// The PCK certificate chain in PEM.
    pub(crate) pck_chain: &'a [u8],
}

impl<'a> Quote<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, AttestationError> {
        // Q8: the bound comes before any work that grows with the quote.
        ensure(
            bytes.len() <= MAX_QUOTE_BYTES,
            AttestationError::Bounds,
            "quote bytes",
            format_args!("at most {MAX_QUOTE_BYTES}"),
            bytes.len(),
        )?;
        let mut reader = Reader::new("quote", bytes);
        let header = Header::parse(&mut reader)?;
        let (td, td15, ex15) = match header.version {
            4 => (Td10::parse(&mut reader)?, None, None),
            _ => parse_v5_body(&mut reader)?,
        };
        let signed = reader.consumed();
        let data_len = reader.u32()?;
        let tail = parse_signature_data(reader.take(data_len)?)?;
        // Q8: a quote is read to its end, so no byte of it escapes the checks. Quoting services pad a quote with zeros to the size of their buffer.
        let padding = reader.rest();
        ensure(
            padding.iter().all(|b| *b == 0),
            AttestationError::Bounds,
            "bytes after the signature data",
            "none, or zero padding",
            format_args!("{} bytes, not all zero", padding.len()),
        )?;
        Ok(Self {
            header,
            td,
            td15,
            ex15,
            signed,
            signature: tail.signature,
            attestation_key: tail.attestation_key,
            certification: tail.certification,
            pck_chain: tail.pck_chain,
        })
    }
}

type Body<'a> = (Td10<'a>, Option<Td15<'a>>, Option<Ex15<'a>>);

fn parse_v5_body<'a>(reader: &mut Reader<'a>) -> Result<Body<'a>, AttestationError> {
    let body_type = reader.u16()?;
    let size = reader.u32()?;
    // Q6: an enclave report in a version 5 quote is as long as it likes to be; only TD reports are read.
    let expected = match body_type {
        BODY_TD10 => Td10::LEN,
        BODY_TD15 => Td10::LEN + Td15::LEN,
        BODY_TD15_EX => Td10::LEN + Td15::LEN + Ex15::LEN,
        other => {
            return Err(AttestationError::Format(Mismatch::new(
                "body type",
                "2 (TD 1.0), 3 (TD 1.5) or 4 (TD 1.5 extended)",
                other,
            )));
        }
    };
    ensure(
        size == expected,
        AttestationError::Bounds,
        "body size",
        expected,
        size,
    )?;
    let td = Td10::parse(reader)?;
    let td15 = (body_type >= BODY_TD15)
        .then(|| Td15::parse(reader))
        .transpose()?;
    let ex15 = (body_type == BODY_TD15_EX)
        .then(|| Ex15::parse(reader))
        .transpose()?;
    Ok((td, td15, ex15))
}

fn parse_signature_data(bytes: &[u8]) -> Result<Tail<'_>, AttestationError> {
    let mut reader = Reader::new("signature data", bytes);
    let signature = reader.array()?;
    let certification = reader.rest();
    let mut reader = Reader::new("certification data", certification);
    let attestation_key = reader.array()?;
    let outer_type = reader.u16()?;
    // Q6: Intel's verifier requires this type; dcap-qvl reads the same bytes whatever the type says.
    ensure(
        outer_type == OUTER_QE_REPORT,
        AttestationError::Format,
        "outer certification type",
        OUTER_QE_REPORT,
        outer_type,
    )?;
    let outer_len = reader.u32()?;
    let outer = reader.take(outer_len)?;
    reader.end()?;

    let mut reader = Reader::new("QE report certification data", outer);
    reader.take(384 + 64)?;
    let auth_len = usize::from(reader.u16()?);
    ensure(
        auth_len == 32,
        AttestationError::Bounds,
        "QE authentication data",
        32,
        auth_len,
    )?;
    reader.take(auth_len)?;
    let inner_type = reader.u16()?;
    // Q6: a platform named by an encrypted id would be certified by a chain the quote does not carry.
    ensure(
        inner_type == INNER_PCK_CHAIN,
        AttestationError::Format,
        "inner certification type",
        INNER_PCK_CHAIN,
        inner_type,
    )?;
    let inner_len = reader.u32()?;
    let pck_chain = reader.take(inner_len)?;
    reader.end()?;
    Ok(Tail {
        signature,
        attestation_key,
        certification,
        pck_chain,
    })
}
