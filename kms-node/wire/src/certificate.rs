//! Certificates (`POST /v1/certificates`).

use crate::{Blob, limits::MAX_CSR, release::Evidence};
use kms_types::UnixTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Request for a certificate under the app's CA. The evidence's HPKE key is SHA-256 of the CSR (DER), so that the quote is bound to it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequest {
    /// Evidence of a running instance (`kedge/ratls/v1`).
    pub evidence: Evidence,
    /// PKCS #10 request, DER.
    #[schema(value_type = String)]
    pub csr: Blob<MAX_CSR>,
    /// Start of validity that is asked for; absent leaves it to the KMS, and an earlier one than the KMS gives is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub not_before: Option<UnixTime>,
    /// End of validity that is asked for; absent leaves it to the KMS, and a later one than the KMS gives is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub not_after: Option<UnixTime>,
}

/// The chain.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateResponse {
    /// Leaf, app CA, KMS CA; PEM, in this order.
    pub chain: Vec<String>,
    /// What allowed it.
    pub decision: crate::Decision,
}
