//! Measurement registers of a trust domain (Intel TDX Module Base Architecture Specification, "Measurement and Attestation").

use crate::{bytes::fixed_bytes, encode::length_prefixed};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha384};

fixed_bytes! {
    /// Measurement of the TD's initial contents.
    Mrtd, 48
}
fixed_bytes! {
    /// A run-time extendable measurement register, SHA-384.
    Rtmr, 48
}
fixed_bytes! {
    /// Measurement of the TDX module.
    MrSeam, 48
}
fixed_bytes! {
    /// MRCONFIGID, MROWNER or MROWNERCONFIG: set by the VMM when it creates the TD.
    TdConfigId, 48
}

impl Rtmr {
    /// The register after extending it by `digest`: SHA-384(register ‖ digest).
    pub fn extended(&self, digest: &[u8; 48]) -> Self {
        Self::new(
            Sha384::new()
                .chain_update(self.as_bytes())
                .chain_update(digest)
                .finalize()
                .into(),
        )
    }
}

/// The four registers that identify an OS image on one VM shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsMeasurement {
    /// Firmware.
    pub mrtd: Mrtd,
    /// Firmware configuration and virtual hardware.
    pub rtmr0: Rtmr,
    /// Kernel.
    pub rtmr1: Rtmr,
    /// Kernel command line and initrd.
    pub rtmr2: Rtmr,
}

impl OsMeasurement {
    /// What a catalogue leaf hashes: LP(MRTD) ‖ LP(RTMR0) ‖ LP(RTMR1) ‖ LP(RTMR2).
    pub fn leaf_bytes(&self) -> Vec<u8> {
        length_prefixed([
            self.mrtd.as_ref(),
            self.rtmr0.as_ref(),
            self.rtmr1.as_ref(),
            self.rtmr2.as_ref(),
        ])
    }
}
