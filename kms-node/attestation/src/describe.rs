//! What a quote says about itself before anything is verified: enough to choose collateral for
//! it and to show what it claims, no more.

use crate::{AttestationError, Mismatch, crypto::AwsLc, quote::Quote, roots::PckChain, td::Registers};
use dcap_qvl::{
    config::{ParsedCert, PckCa as QvlPckCa, X509Codec},
    intel,
    x509::X509CertBackend,
};
use kms_types::{AttestationRoot, Fmspc, OsMeasurement, ReportData, Rtmr, TdConfigId};

/// Which of the two authorities issued a PCK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PckCa {
    /// Platforms registered as a whole (multi-package).
    Platform,
    /// Single processors.
    Processor,
}

impl PckCa {
    /// As the certification service spells it in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Processor => "processor",
        }
    }
}

/// A quote's own words, unverified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuoteDescription {
    /// 4 or 5.
    pub version: u16,
    /// Platform family named by the PCK certificate.
    pub fmspc: Fmspc,
    /// Issuer named by the PCK certificate.
    pub pck_ca: PckCa,
    /// Root at the end of its chain.
    pub attestation_root: AttestationRoot,
    /// MRTD and RTMR0 to 2.
    pub os: OsMeasurement,
    /// RTMR3.
    pub rtmr3: Rtmr,
    /// Report data.
    pub report_data: ReportData,
    /// MRCONFIGID.
    pub mr_config_id: TdConfigId,
    /// MROWNER.
    pub mr_owner: TdConfigId,
    /// MROWNERCONFIG.
    pub mr_owner_config: TdConfigId,
}

/// Reads a quote without verifying it.
///
/// # Errors
/// When it does not parse as a TD quote with a PCK chain.
pub fn describe(quote: &[u8]) -> Result<QuoteDescription, AttestationError> {
    let parsed = Quote::parse(quote)?;
    let chain = PckChain::parse(parsed.pck_chain)?;
    let extension =
        intel::parse_pck_extension_with::<AwsLc>(&chain.pck_der).map_err(|e| malformed(&format!("{e:#}")))?;
    let issuer = X509CertBackend::from_der(&chain.pck_der)
        .map_err(|e| malformed(&format!("{e:#}")))?
        .pck_ca();
    let pck_ca = match issuer {
        Some(QvlPckCa::Platform) => PckCa::Platform,
        Some(QvlPckCa::Processor) => PckCa::Processor,
        None => {
            return Err(AttestationError::Format(Mismatch::new(
                "issuer of the PCK certificate",
                "a Platform or Processor CA",
                "another name",
            )));
        }
    };
    let registers = Registers::of(&parsed);
    let [.., rtmr3] = registers.rtmr;
    Ok(QuoteDescription {
        version: parsed.header.version,
        fmspc: Fmspc::new(extension.fmspc),
        pck_ca,
        attestation_root: chain.root,
        os: registers.os(),
        rtmr3,
        report_data: registers.report_data,
        mr_config_id: registers.mr_config_id,
        mr_owner: registers.mr_owner,
        mr_owner_config: registers.mr_owner_config,
    })
}

fn malformed(error: &str) -> AttestationError {
    AttestationError::Bounds(Mismatch::new("PCK certificate", "Intel SGX extension", error))
}
