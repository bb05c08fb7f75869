//! The body of a TD report, field by field, and its bytes (Intel TDX DCAP Quoting Library API, TD quote body descriptor).

use crate::Hardware;
use kms_types::{OsMeasurement, ReportData, Rtmr, TdConfigId};

/// SEPT_VE_DISABLE: the guest kernel needs it and verifiers demand it.
pub const ATTRIBUTE_SEPT_VE_DISABLE: u64 = 1 << 28;
/// The first bit of the TUD byte: the host may read the TD's memory.
pub const ATTRIBUTE_DEBUG: u64 = 1;

/// A TD report before it is signed. Every field can be changed, so that any lie can be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdReport {
    /// TEE_TCB_SVN.
    pub tee_tcb_svn: [u8; 16],
    /// MRSEAM.
    pub mr_seam: [u8; 48],
    /// MRSIGNERSEAM.
    pub mr_signer_seam: [u8; 48],
    /// SEAMATTRIBUTES.
    pub seam_attributes: u64,
    /// TDATTRIBUTES.
    pub attributes: u64,
    /// XFAM.
    pub xfam: u64,
    /// MRTD and RTMR0 to 2.
    pub measurement: OsMeasurement,
    /// RTMR3.
    pub rtmr3: Rtmr,
    /// MRCONFIGID.
    pub mr_config_id: TdConfigId,
    /// MROWNER.
    pub mr_owner: TdConfigId,
    /// MROWNERCONFIG.
    pub mr_owner_config: TdConfigId,
    /// REPORTDATA.
    pub report_data: ReportData,
    /// TEE_TCB_SVN2; only in TD 1.5 bodies.
    pub tee_tcb_svn2: [u8; 16],
    /// MRSERVICETD; only in TD 1.5 bodies.
    pub mr_service_td: [u8; 48],
}

impl TdReport {
    /// The parts of a report the hardware decides.
    pub(crate) fn hardware(hardware: &Hardware, measurement: OsMeasurement) -> Self {
        Self {
            tee_tcb_svn: hardware.tee_tcb_svn,
            mr_seam: hardware.mr_seam.to_bytes(),
            mr_signer_seam: hardware.mr_signer_seam,
            seam_attributes: hardware.seam_attributes,
            attributes: ATTRIBUTE_SEPT_VE_DISABLE,
            xfam: 0,
            measurement,
            rtmr3: Rtmr::ZERO,
            mr_config_id: TdConfigId::ZERO,
            mr_owner: TdConfigId::ZERO,
            mr_owner_config: TdConfigId::ZERO,
            report_data: ReportData::ZERO,
            tee_tcb_svn2: hardware.tee_tcb_svn2.unwrap_or(hardware.tee_tcb_svn),
            mr_service_td: [0; 48],
        }
    }

    /// The 584 bytes of a TD 1.0 body.
    pub(crate) fn body_10(&self) -> Vec<u8> {
        let measured = &self.measurement;
        [
            self.tee_tcb_svn.as_slice(),
            &self.mr_seam,
            &self.mr_signer_seam,
            &self.seam_attributes.to_le_bytes(),
            &self.attributes.to_le_bytes(),
            &self.xfam.to_le_bytes(),
            measured.mrtd.as_ref(),
            self.mr_config_id.as_ref(),
            self.mr_owner.as_ref(),
            self.mr_owner_config.as_ref(),
            measured.rtmr0.as_ref(),
            measured.rtmr1.as_ref(),
            measured.rtmr2.as_ref(),
            self.rtmr3.as_ref(),
            self.report_data.as_ref(),
        ]
        .concat()
    }

    /// The 648 bytes of a TD 1.5 body.
    pub(crate) fn body_15(&self) -> Vec<u8> {
        [self.body_10().as_slice(), &self.tee_tcb_svn2, &self.mr_service_td].concat()
    }
}
