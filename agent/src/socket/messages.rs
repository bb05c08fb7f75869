//! Requests and answers, with the names and encodings of dstack's SDKs: bytes are hex without `0x`. Fields a request may have in
//! some newer SDK and this agent does not know are passed over, as there.

use super::hex_bytes::HexBytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Request of `GetTlsKey`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct GetTlsKeyArgs {
    /// Common name; at most 64 bytes. The certificate bears the app id whatever stands here.
    pub subject: String,
    /// DNS names; each must be the app's or the instance's own. None: all of them.
    pub alt_names: Vec<String>,
    /// True to carry a quote over the key.
    pub usage_ra_tls: bool,
    /// True for TLS servers.
    pub usage_server_auth: bool,
    /// True for TLS clients.
    pub usage_client_auth: bool,
    /// Start of validity that is asked for, in seconds since 1970; the KMS gives what is within its own times.
    pub not_before: Option<u64>,
    /// End of validity that is asked for, in seconds since 1970; the KMS gives what is within its own times.
    pub not_after: Option<u64>,
    /// Has no effect: every certificate names the app.
    pub with_app_info: Option<bool>,
}

/// Answer of `GetTlsKey` and `DeriveKey`.
#[derive(Serialize, ToSchema)]
pub struct GetTlsKeyResponse<'a> {
    /// P-256 secret, PKCS #8 in PEM.
    pub key: &'a str,
    /// Leaf, app CA, KMS CA; PEM.
    pub certificate_chain: &'a [String],
}

/// Request of `GetKey` and `DeriveK256Key`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct GetKeyArgs {
    /// Which key; at most 1,024 bytes.
    pub path: String,
    /// What it is for; enters the signature, not the key. At most 1,024 bytes.
    pub purpose: String,
    /// `secp256k1` (or `k256`, or empty) or `ed25519`.
    pub algorithm: String,
}

/// Answer of `GetKey`.
#[derive(Serialize, ToSchema)]
pub struct GetKeyResponse<'a> {
    /// Secret, 32 bytes in hex.
    pub key: &'a str,
    /// The app's signature over the key, the KMS's over the app's key; 65 bytes each in hex. The second is empty when no KMS released the keys.
    pub signature_chain: [&'a str; 2],
}

/// Answer of `DeriveK256Key`.
#[derive(Serialize, ToSchema)]
pub struct DeriveK256KeyResponse<'a> {
    /// Secret, 32 bytes in hex.
    pub k256_key: &'a str,
    /// As in `GetKey`.
    pub k256_signature_chain: [&'a str; 2],
}

/// Request of `GetQuote`, `Attest` and `RawQuote`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct ReportArgs {
    /// At most 64 bytes in hex; padded with zeros on the right.
    #[schema(value_type = String)]
    pub report_data: HexBytes,
}

/// Answer of `GetQuote`.
#[derive(Serialize, ToSchema)]
pub struct GetQuoteResponse {
    /// Quote in Intel's format, hex.
    pub quote: String,
    /// Events of RTMR3 as a JSON array in a string.
    pub event_log: String,
    /// The 64 bytes of the report, hex.
    pub report_data: String,
    /// The VMM's description of the VM.
    pub vm_config: String,
}

/// Answer of `Attest`.
#[derive(Serialize, ToSchema)]
pub struct AttestResponse {
    /// A `kedge/attestation/v1` document, hex.
    pub attestation: String,
}

/// Answer of `Info`.
#[derive(Serialize, ToSchema)]
pub struct AppInfo<'a> {
    /// The app, hex.
    pub app_id: String,
    /// The instance, hex; empty for an app without instance ids.
    pub instance_id: String,
    /// The instance's own certificate chain, PEM; empty until there is one.
    pub app_cert: String,
    /// A [`TcbInfo`] as JSON in a string.
    pub tcb_info: String,
    /// Name of the app.
    pub app_name: &'a str,
    /// The platform, hex.
    pub device_id: String,
    /// Aggregated measurements now, hex.
    pub mr_aggregated: String,
    /// The OS image, hex.
    pub os_image_hash: String,
    /// `{"name", "id"}` as JSON in a string.
    pub key_provider_info: &'a str,
    /// The compose document, hex.
    pub compose_hash: String,
    /// The VMM's description of the VM.
    pub vm_config: &'a str,
    /// Maker of the machine, as its firmware says; not measured.
    pub cloud_vendor: &'a str,
    /// Name of the machine, as its firmware says; not measured.
    pub cloud_product: &'a str,
}

/// What stands in `tcb_info`.
#[derive(Serialize, ToSchema)]
pub struct TcbInfo<'a> {
    /// MRTD, hex.
    pub mrtd: String,
    /// RTMR0, hex.
    pub rtmr0: String,
    /// RTMR1, hex.
    pub rtmr1: String,
    /// RTMR2, hex.
    pub rtmr2: String,
    /// RTMR3 as the event log gives it, hex.
    pub rtmr3: String,
    /// Aggregated measurements, hex.
    pub mr_aggregated: String,
    /// The OS image, hex.
    pub os_image_hash: String,
    /// The compose document, hex.
    pub compose_hash: String,
    /// The platform, hex.
    pub device_id: String,
    /// Events of RTMR3.
    pub event_log: Vec<Event<'a>>,
    /// The compose document itself.
    pub app_compose: &'a str,
}

/// One event.
#[derive(Serialize, ToSchema)]
pub struct Event<'a> {
    /// Register.
    pub imr: u32,
    /// TCG event type.
    pub event_type: u32,
    /// SHA-384, hex.
    pub digest: String,
    /// Name.
    pub event: &'a str,
    /// Payload, hex.
    pub event_payload: String,
}

/// Request of `EmitEvent`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct EmitEventArgs {
    /// Name: 1 to 128 bytes, no control characters, no colon, no name of a boot event, not `kedge-…`.
    pub event: String,
    /// At most 16 KiB in hex.
    #[serde(default)]
    #[schema(value_type = String)]
    pub payload: HexBytes,
}

/// Request of `Sign`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct SignArgs {
    /// `ed25519`, `secp256k1` (or `k256`) or `secp256k1_prehashed`.
    pub algorithm: String,
    /// What to sign, hex.
    #[schema(value_type = String)]
    pub data: HexBytes,
}

/// Answer of `Sign`.
#[derive(Serialize, ToSchema)]
pub struct SignResponse {
    /// 64 bytes in hex.
    pub signature: String,
    /// The signature, the app's over the public key, the KMS's over the app's key.
    pub signature_chain: [String; 3],
    /// Public key, hex.
    pub public_key: String,
}

/// Request of `Verify`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct VerifyArgs {
    /// As in `Sign`.
    pub algorithm: String,
    /// What was signed, hex.
    #[schema(value_type = String)]
    pub data: HexBytes,
    /// 64 bytes in hex.
    #[schema(value_type = String)]
    pub signature: HexBytes,
    /// Public key, hex.
    #[schema(value_type = String)]
    pub public_key: HexBytes,
}

/// Answer of `Verify`.
#[derive(Serialize, ToSchema)]
pub struct VerifyResponse {
    /// True when the signature is over the data by that key.
    pub valid: bool,
}

/// Answer of `GpuInfo`.
#[derive(Serialize, ToSchema)]
pub struct GpuInfoResponse {
    /// Payload of the measured `gpu-attestation` event; empty without GPU.
    pub attestation: String,
}

/// Answer of `Version`.
#[derive(Serialize, ToSchema)]
pub struct VersionResponse {
    /// Version of the agent.
    pub version: &'static str,
    /// Revision of its source; empty when the build did not say.
    pub rev: &'static str,
}

/// Request of `DeriveKey`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeriveKeyArgs {
    /// Which key; at most 1,024 bytes.
    pub path: String,
    /// As in `GetTlsKey`.
    pub subject: String,
    /// As in `GetTlsKey`.
    pub alt_names: Vec<String>,
    /// As in `GetTlsKey`.
    pub usage_ra_tls: bool,
    /// As in `GetTlsKey`.
    pub usage_server_auth: bool,
    /// As in `GetTlsKey`.
    pub usage_client_auth: bool,
    /// True for a fresh key instead of the path's.
    pub random_seed: bool,
}

/// Request of `TdxQuote`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct TdxQuoteArgs {
    /// What is hashed, hex.
    #[schema(value_type = String)]
    pub report_data: HexBytes,
    /// `sha256`, `sha384`, `sha512` (default), `sha3-…`, `keccak…` or `raw`.
    pub hash_algorithm: String,
    /// Stands before the data with a colon; `app-data` when empty. At most 64 bytes.
    pub prefix: String,
}

/// Answer of `TdxQuote` and `RawQuote`.
#[derive(Serialize, ToSchema)]
pub struct TdxQuoteResponse {
    /// Quote in Intel's format, hex.
    pub quote: String,
    /// As in `GetQuote`.
    pub event_log: String,
    /// The hash that made the report data.
    pub hash_algorithm: &'static str,
    /// The prefix it was made with; empty for `raw`.
    pub prefix: String,
}

/// Any error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorResponse<'a> {
    /// What was expected, what came.
    pub error: &'a str,
    /// Stable word for programs.
    pub code: &'a str,
}
