//! Fields of a quote's header and TD report, in their order on the wire (Intel TDX DCAP Quoting Library API, appendix
//! A.3.1, A.3.2 and A.4; `sgx_quote_5.h` for the extended 1.5 body). Refuses anything that is not a TDX quote with
//! Intel's quoting enclave and ECDSA P-256.

use crate::{AttestationError, error::ensure, reader::Reader};
use kms_types::TeeType;

/// Intel's quoting enclave vendor id.
const INTEL_QE_VENDOR_ID: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
/// ECDSA-256 with the P-256 curve.
const KEY_TYPE_P256: u16 = 2;

/// Header, 48 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    pub(crate) version: u16,
    /// All 48 bytes.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Header<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, AttestationError> {
        let bytes = reader.take(48)?;
        let mut reader = Reader::new("quote header", bytes);
        let version = reader.u16()?;
        // Q6: only TD quotes of versions 4 and 5; an enclave's quote says nothing about a TD.
        ensure(
            matches!(version, 4 | 5),
            AttestationError::Format,
            "quote version",
            "4 or 5",
            version,
        )?;
        let key_type = reader.u16()?;
        ensure(
            key_type == KEY_TYPE_P256,
            AttestationError::Format,
            "attestation key type",
            KEY_TYPE_P256,
            key_type,
        )?;
        let tee = u32::from_le_bytes(*reader.array()?);
        ensure(
            tee == TeeType::TDX.0,
            AttestationError::Format,
            "TEE type",
            format_args!("{:#x} (TDX)", TeeType::TDX.0),
            format_args!("{tee:#x}"),
        )?;
        reader.take(4)?;
        let vendor: &[u8; 16] = reader.array()?;
        ensure(
            *vendor == INTEL_QE_VENDOR_ID,
            AttestationError::Format,
            "quoting enclave vendor",
            hex::encode(INTEL_QE_VENDOR_ID),
            hex::encode(vendor),
        )?;
        Ok(Self { version, bytes })
    }
}

/// TD report of TDX 1.0, 584 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Td10<'a> {
    pub(crate) tee_tcb_svn: &'a [u8; 16],
    pub(crate) mr_seam: &'a [u8; 48],
    pub(crate) mr_signer_seam: &'a [u8; 48],
    pub(crate) seam_attributes: &'a [u8; 8],
    pub(crate) td_attributes: &'a [u8; 8],
    pub(crate) xfam: &'a [u8; 8],
    pub(crate) mr_td: &'a [u8; 48],
    pub(crate) mr_config_id: &'a [u8; 48],
    pub(crate) mr_owner: &'a [u8; 48],
    pub(crate) mr_owner_config: &'a [u8; 48],
    pub(crate) rtmr: [&'a [u8; 48]; 4],
    pub(crate) report_data: &'a [u8; 64],
}

impl<'a> Td10<'a> {
    pub(crate) const LEN: usize = 584;

    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, AttestationError> {
        Ok(Self {
            tee_tcb_svn: reader.array()?,
            mr_seam: reader.array()?,
            mr_signer_seam: reader.array()?,
            seam_attributes: reader.array()?,
            td_attributes: reader.array()?,
            xfam: reader.array()?,
            mr_td: reader.array()?,
            mr_config_id: reader.array()?,
            mr_owner: reader.array()?,
            mr_owner_config: reader.array()?,
            rtmr: [reader.array()?, reader.array()?, reader.array()?, reader.array()?],
            report_data: reader.array()?,
        })
    }
}

/// What TDX 1.5 adds, 64 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Td15<'a> {
    pub(crate) tee_tcb_svn2: &'a [u8; 16],
    pub(crate) mr_service_td: &'a [u8; 48],
}

impl<'a> Td15<'a> {
    pub(crate) const LEN: usize = 64;

    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, AttestationError> {
        Ok(Self {
            tee_tcb_svn2: reader.array()?,
            mr_service_td: reader.array()?,
        })
    }
}

/// What the extended TDX 1.5 body adds, 237 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ex15<'a> {
    pub(crate) vmid: u8,
    pub(crate) td_id: &'a [u8; 32],
    /// Device information, service TD fields and initial platform TCB.
    pub(crate) extensions: &'a [u8],
}

impl<'a> Ex15<'a> {
    pub(crate) const LEN: usize = 237;

    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, AttestationError> {
        let [vmid] = *reader.array()?;
        Ok(Self {
            vmid,
            td_id: reader.array()?,
            extensions: reader.take(Self::LEN - 33)?,
        })
    }
}

/// The signature data behind the body.
pub(crate) struct Tail<'a> {
    pub(crate) signature: &'a [u8; 64],
    pub(crate) attestation_key: &'a [u8; 64],
    pub(crate) certification: &'a [u8],
    pub(crate) pck_chain: &'a [u8],
}
