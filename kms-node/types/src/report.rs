//! Report data: what a quote says about the request it was made for.

use crate::bytes::fixed_bytes;
use sha2::{Digest, Sha512};

fixed_bytes! {
    /// The 64 bytes of a TD report that software chooses.
    ReportData, 64
}

/// What a quote was made for. The set is closed: evidence made for one purpose opens nothing at another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReportTag {
    /// Key release to an app.
    Release,
    /// Lease of a running app.
    Lease,
    /// Replication of KMS roots.
    KmsOnboard,
    /// Public identity of a fresh KMS.
    KmsBootstrap,
    /// Certificates carrying a quote.
    RaTls,
    /// Certificate keys of the gateway.
    GatewayCert,
    /// ACME account keys.
    AcmeAccount,
    /// Attestations asked for by an app.
    AppAttest,
}

impl ReportTag {
    /// The tag as it is hashed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "kedge/release/v1",
            Self::Lease => "kedge/lease/v1",
            Self::KmsOnboard => "kedge/kms-onboard/v1",
            Self::KmsBootstrap => "kedge/kms-bootstrap/v1",
            Self::RaTls => "kedge/ratls/v1",
            Self::GatewayCert => "kedge/gateway-cert/v1",
            Self::AcmeAccount => "kedge/acme-account/v1",
            Self::AppAttest => "kedge/app-attest/v1",
        }
    }
}

impl ReportData {
    /// SHA-512(tag ‖ 0x00 ‖ LP(part)…).
    pub fn bind(tag: ReportTag, parts: &[&[u8]]) -> Self {
        let mut hash = Sha512::new();
        hash.update(tag.as_str().as_bytes());
        hash.update([0]);
        for part in parts {
            hash.update((part.len() as u32).to_be_bytes());
            hash.update(part);
        }
        Self::new(hash.finalize().into())
    }
}
