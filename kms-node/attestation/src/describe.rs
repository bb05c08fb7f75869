//! What a quote says about itself before anything is verified: enough to choose collateral for
//! it and to show what it claims, no more.

use crate::{AttestationError, Mismatch, crypto::AwsLc, quote::Quote, roots::PckChain, td::Registers};
use dcap_qvl::{
    config::{ParsedCert, PckCa as QvlPckCa, X509Codec},
    intel,
    x509::X509CertBackend,
};
use kms_types::{AttestationRoot, DeviceId, Fmspc, OsMeasurement, ReportData, Rtmr, TdConfigId};
use lru::LruCache;
use sha2::{Digest, Sha256};
use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

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
    /// Platform named by the PCK certificate.
    pub device_id: DeviceId,
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
    let platform = Platform::of(parsed.pck_chain)?;
    Ok(description(&parsed, platform))
}

/// What a PCK chain says of its platform: a function of the chain's bytes alone.
#[derive(Debug, Clone, Copy)]
struct Platform {
    fmspc: Fmspc,
    device_id: DeviceId,
    pck_ca: PckCa,
    attestation_root: AttestationRoot,
}

impl Platform {
    fn of(chain_pem: &[u8]) -> Result<Self, AttestationError> {
        let chain = PckChain::parse(chain_pem)?;
        let extension = intel::parse_pck_extension_with::<AwsLc>(&chain.pck_der)
            .map_err(|e| malformed(&format!("{e:#}")))?;
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
        Ok(Self {
            fmspc: Fmspc::new(extension.fmspc),
            device_id: DeviceId::of_ppid(&extension.ppid),
            pck_ca,
            attestation_root: chain.root,
        })
    }
}

/// Chains read before, by the hash of their bytes. What is kept was read, not verified, and is used for nothing that
/// reading it again would not be.
#[derive(Debug)]
pub(crate) struct Platforms(Mutex<LruCache<[u8; 32], Platform>>);

impl Platforms {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(capacity)))
    }

    /// As [`describe`], without parsing the certificates of a chain that was read before.
    pub(crate) fn describe(&self, quote: &[u8]) -> Result<QuoteDescription, AttestationError> {
        let parsed = Quote::parse(quote)?;
        let hash: [u8; 32] = Sha256::digest(parsed.pck_chain).into();
        let known = self.lock().get(&hash).copied();
        let platform = match known {
            Some(platform) => platform,
            None => {
                let platform = Platform::of(parsed.pck_chain)?;
                self.lock().put(hash, platform);
                platform
            }
        };
        Ok(description(&parsed, platform))
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<[u8; 32], Platform>> {
        // Entries are whole values put in by one call; a panic elsewhere cannot leave half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn description(parsed: &Quote<'_>, platform: Platform) -> QuoteDescription {
    let registers = Registers::of(parsed);
    let [.., rtmr3] = registers.rtmr;
    QuoteDescription {
        version: parsed.header.version,
        fmspc: platform.fmspc,
        device_id: platform.device_id,
        pck_ca: platform.pck_ca,
        attestation_root: platform.attestation_root,
        os: registers.os(),
        rtmr3,
        report_data: registers.report_data,
        mr_config_id: registers.mr_config_id,
        mr_owner: registers.mr_owner,
        mr_owner_config: registers.mr_owner_config,
    }
}

fn malformed(error: &str) -> AttestationError {
    AttestationError::Bounds(Mismatch::new("PCK certificate", "Intel SGX extension", error))
}
