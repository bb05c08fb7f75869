//! A quote around a TD report, signed the way Intel's quoting enclave signs (Intel TDX DCAP Quoting Library API, appendix A).

use crate::{SoftPlatform, TdReport};
use sha2::{Digest, Sha256};

/// Vendor id of Intel's quoting enclave: 939A7233-F79C-4CA9-940A-0DB3957F0607.
const VENDOR_ID: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];

/// Version of the quote and kind of the body in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuoteVersion {
    /// Version 4, TD 1.0 body.
    #[default]
    V4,
    /// Version 5, TD 1.0 body.
    V5Td10,
    /// Version 5, TD 1.5 body.
    V5Td15,
}

/// How the quote around a report is made; the default is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteFormat {
    /// Version.
    pub version: QuoteVersion,
    /// TEE type in the header; 0x81 is TDX.
    pub tee_type: u32,
    /// Certification data type around the QE report; 6.
    pub outer_certification_type: u16,
    /// Certification data type of the PCK chain; 5.
    pub inner_certification_type: u16,
    /// Bytes after the signed quote; none.
    pub trailing: Vec<u8>,
    /// True to sign the report with the PCK key instead of the attestation key.
    pub wrong_attestation_signature: bool,
    /// True to sign the QE report with the attestation key instead of the PCK key.
    pub wrong_qe_signature: bool,
    /// True to leave the attestation key out of the QE report.
    pub unbound_attestation_key: bool,
}

impl Default for QuoteFormat {
    fn default() -> Self {
        Self {
            version: QuoteVersion::V4,
            tee_type: 0x81,
            outer_certification_type: 6,
            inner_certification_type: 5,
            trailing: Vec::new(),
            wrong_attestation_signature: false,
            wrong_qe_signature: false,
            unbound_attestation_key: false,
        }
    }
}

impl SoftPlatform {
    /// Signs a report, whatever it says.
    pub fn sign(&self, report: &TdReport, format: &QuoteFormat) -> Vec<u8> {
        let (version, body) = match format.version {
            QuoteVersion::V4 => (4u16, report.body_10()),
            QuoteVersion::V5Td10 => (5, typed(2, &report.body_10())),
            QuoteVersion::V5Td15 => (5, typed(3, &report.body_15())),
        };
        let attestation = &self.keys.attestation;
        let mut quote = self.header(version, format.tee_type);
        quote.extend(body);
        let signer = if format.wrong_attestation_signature {
            &self.keys.pck
        } else {
            attestation
        };
        let certified = self.certification(format);
        let signature_data = [
            signer.sign_raw(&quote).as_slice(),
            attestation.raw_public(),
            &format.outer_certification_type.to_le_bytes(),
            &(certified.len() as u32).to_le_bytes(),
            &certified,
        ]
        .concat();
        quote.extend((signature_data.len() as u32).to_le_bytes());
        quote.extend(signature_data);
        quote.extend(&format.trailing);
        quote
    }

    /// 48 bytes; QE and PCE SVN are zero in TDX quotes, user data starts with an id of the QE.
    fn header(&self, version: u16, tee_type: u32) -> Vec<u8> {
        let qe_id = Sha256::digest(self.keys.attestation.raw_public());
        let mut header = [
            version.to_le_bytes().as_slice(),
            &2u16.to_le_bytes(), // ECDSA over P-256
            &tee_type.to_le_bytes(),
            &[0; 4],
            &VENDOR_ID,
        ]
        .concat();
        header.extend(qe_id.iter().take(16));
        header.extend([0; 4]);
        header
    }

    /// QE report, its signature, authentication data and the PCK chain.
    fn certification(&self, format: &QuoteFormat) -> Vec<u8> {
        let authentication: Vec<u8> = (0u8..32).collect();
        let attestation = &self.keys.attestation;
        let mut bound = Sha256::new();
        if !format.unbound_attestation_key {
            bound.update(attestation.raw_public());
        }
        bound.update(&authentication);
        let report = self.qe_report(&bound.finalize().into());
        let signer = if format.wrong_qe_signature {
            attestation
        } else {
            &self.keys.pck
        };
        let chain = self.certificates.pck_chain();
        [
            report.as_slice(),
            &signer.sign_raw(&report),
            &(authentication.len() as u16).to_le_bytes(),
            &authentication,
            &format.inner_certification_type.to_le_bytes(),
            &(chain.len() as u32).to_le_bytes(),
            chain.as_bytes(),
        ]
        .concat()
    }

    /// 384 bytes of an SGX report.
    fn qe_report(&self, bound: &[u8; 32]) -> Vec<u8> {
        let hardware = self.hardware();
        let qe = &hardware.qe;
        [
            hardware.cpu_svn.as_slice(),
            &[0; 4 + 28], // MISCSELECT, reserved
            &qe.attributes,
            &[0xe5; 32], // MRENCLAVE, which nobody compares
            &[0; 32],
            &qe.mr_signer,
            &[0; 96],
            &qe.isv_prod_id.to_le_bytes(),
            &qe.isv_svn.to_le_bytes(),
            &[0; 60],
            bound,
            &[0; 32],
        ]
        .concat()
    }
}

/// Version 5 puts kind and size before the body.
fn typed(kind: u16, body: &[u8]) -> Vec<u8> {
    [
        kind.to_le_bytes().as_slice(),
        &(body.len() as u32).to_le_bytes(),
        body,
    ]
    .concat()
}
