//! [`VerifiedTd`]: a TD whose quote was verified. There is one function that makes one, [`Verifier::verify`].

use crate::{
    AttestationError, Collateral, QuoteDescription, TrustRoots, body,
    cache::{Certifications, Key, check_signature},
    certify::{Certified, certify},
    describe::Platforms,
    quote::Quote,
    roots::SignedRoots,
};
use kms_types::{
    AttestationRoot, DeviceId, Fmspc, MrSeam, Mrtd, OsMeasurement, ReportData, Rtmr, TcbStatus, TdConfigId,
    UnixTime,
};
use std::sync::Arc;

/// The registers of a TD report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registers {
    pub(crate) mrtd: Mrtd,
    pub(crate) rtmr: [Rtmr; 4],
    pub(crate) report_data: ReportData,
    pub(crate) mr_config_id: TdConfigId,
    pub(crate) mr_owner: TdConfigId,
    pub(crate) mr_owner_config: TdConfigId,
    pub(crate) mr_seam: MrSeam,
    pub(crate) tdx_module_svn: u8,
    pub(crate) tdx_module_version: u8,
}

impl Registers {
    pub(crate) fn of(quote: &Quote<'_>) -> Self {
        let [tdx_module_svn, tdx_module_version, ..] = *quote.td.tee_tcb_svn;
        Self {
            mrtd: Mrtd::new(*quote.td.mr_td),
            rtmr: quote.td.rtmr.map(|rtmr| Rtmr::new(*rtmr)),
            report_data: ReportData::new(*quote.td.report_data),
            mr_config_id: TdConfigId::new(*quote.td.mr_config_id),
            mr_owner: TdConfigId::new(*quote.td.mr_owner),
            mr_owner_config: TdConfigId::new(*quote.td.mr_owner_config),
            mr_seam: MrSeam::new(*quote.td.mr_seam),
            tdx_module_svn,
            tdx_module_version,
        }
    }

    pub(crate) const fn os(&self) -> OsMeasurement {
        let [rtmr0, rtmr1, rtmr2, _] = self.rtmr;
        OsMeasurement {
            mrtd: self.mrtd,
            rtmr0,
            rtmr1,
            rtmr2,
        }
    }
}

/// A TD as its verified quote describes it. Which TCB status, advisories, platform and module are acceptable is for the
/// contract to say; only what no contract may allow was refused.
#[derive(Debug, Clone)]
pub struct VerifiedTd {
    registers: Registers,
    certified: Arc<Certified>,
    warm: bool,
}

/// Verifies quotes and remembers certifications, so that the next quote of a known platform costs one signature.
#[derive(Debug)]
pub struct Verifier {
    certifications: Certifications,
    platforms: Platforms,
    signed_roots: SignedRoots,
}

impl Verifier {
    /// A verifier that remembers at most `capacity` certifications (one at least).
    pub fn new(capacity: usize) -> Self {
        Self {
            certifications: Certifications::new(capacity),
            platforms: Platforms::new(capacity),
            signed_roots: SignedRoots::new(),
        }
    }

    /// As [`crate::describe()`], remembering what the chains of known platforms say.
    ///
    /// # Errors
    /// As [`crate::describe()`].
    pub fn describe(&self, quote: &[u8]) -> Result<QuoteDescription, AttestationError> {
        self.platforms.describe(quote)
    }

    /// Verifies a quote at `now` (see [`crate::verification_time`]). The answer is the same whether the certification
    /// was known or not.
    ///
    /// # Errors
    /// The first check that refuses.
    pub fn verify(
        &self,
        quote: &[u8],
        collateral: &Collateral,
        now: UnixTime,
        roots: &TrustRoots,
    ) -> Result<VerifiedTd, AttestationError> {
        let parsed = Quote::parse(quote)?;
        body::check(&parsed)?;
        let key = Key::of(&parsed, collateral);
        let known = self.certifications.find(&key, now, roots);
        let warm = known.is_some();
        let certified = match known {
            Some(certified) => {
                check_signature(&parsed)?;
                certified
            }
            None => {
                let certified = Arc::new(certify(
                    quote,
                    &parsed,
                    collateral,
                    now,
                    roots,
                    &self.signed_roots,
                )?);
                self.certifications.keep(key, &certified);
                certified
            }
        };
        roots.check_evaluation(certified.evaluation_number)?;
        Ok(VerifiedTd {
            registers: Registers::of(&parsed),
            certified,
            warm,
        })
    }
}

/// Verifies one quote without a cache: [`Verifier::verify`] with nothing remembered.
///
/// # Errors
/// The first check that refuses.
pub fn verify_td(
    quote: &[u8],
    collateral: &Collateral,
    now: UnixTime,
    roots: &TrustRoots,
) -> Result<VerifiedTd, AttestationError> {
    Verifier::new(1).verify(quote, collateral, now, roots)
}

impl VerifiedTd {
    pub(crate) const fn registers(&self) -> &Registers {
        &self.registers
    }
    /// MRTD.
    pub const fn mrtd(&self) -> Mrtd {
        self.registers.mrtd
    }
    /// RTMR0 to RTMR3.
    pub const fn rtmrs(&self) -> &[Rtmr; 4] {
        &self.registers.rtmr
    }
    /// RTMR `index`; none above 3.
    pub fn rtmr(&self, index: usize) -> Option<Rtmr> {
        self.registers.rtmr.get(index).copied()
    }
    /// MRTD and RTMR0–2: the OS image on its VM shape.
    pub const fn os_measurement(&self) -> OsMeasurement {
        self.registers.os()
    }
    /// What the TD's software asked the quote for.
    pub const fn report_data(&self) -> ReportData {
        self.registers.report_data
    }
    /// MRCONFIGID.
    pub const fn mr_config_id(&self) -> TdConfigId {
        self.registers.mr_config_id
    }
    /// MROWNER.
    pub const fn mr_owner(&self) -> TdConfigId {
        self.registers.mr_owner
    }
    /// MROWNERCONFIG.
    pub const fn mr_owner_config(&self) -> TdConfigId {
        self.registers.mr_owner_config
    }
    /// MRSEAM: the TDX module.
    pub const fn mr_seam(&self) -> MrSeam {
        self.registers.mr_seam
    }
    /// Security version of the TDX module (TEE_TCB_SVN byte 0).
    pub const fn tdx_module_svn(&self) -> u8 {
        self.registers.tdx_module_svn
    }
    /// Major version of the TDX module (TEE_TCB_SVN byte 1).
    pub const fn tdx_module_version(&self) -> u8 {
        self.registers.tdx_module_version
    }
    /// Root the certificates lead to.
    pub fn attestation_root(&self) -> AttestationRoot {
        self.certified.root
    }
    /// Status after merging platform, module and quoting enclave; never `Revoked`.
    pub fn tcb_status(&self) -> TcbStatus {
        self.certified.tcb_status
    }
    /// Advisories at that status, sorted, without repeats.
    pub fn advisory_ids(&self) -> &[String] {
        &self.certified.advisory_ids
    }
    /// Platform family.
    pub fn fmspc(&self) -> Fmspc {
        self.certified.fmspc
    }
    /// The platform.
    pub fn device_id(&self) -> DeviceId {
        self.certified.device_id
    }
    /// Lower evaluation number of TCB info and QE identity.
    pub fn tcb_evaluation_data_number(&self) -> u32 {
        self.certified.evaluation_number
    }
    /// Date of the matched TCB level; the older one of launch and current level.
    pub fn tcb_date(&self) -> UnixTime {
        self.certified.tcb_date
    }
    /// Until when the certification under this verdict holds.
    pub fn certified_until(&self) -> UnixTime {
        self.certified.valid_until
    }
    /// True when the certification was already known.
    pub const fn certified_warm(&self) -> bool {
        self.warm
    }
}
