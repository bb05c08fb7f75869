//! Attestations in certificates: `id-pe-cmw` (1.3.6.1.5.5.7.1.35) with the JSON record of IETF RATS' Conceptual Messages Wrapper,
//! `[media type, base64url of the document, 4]`. The quote's report data are bound to the certificate's key, so that the
//! attestation is worth nothing in another certificate.

use super::{AppState, SocketError, attest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kms_keys::ATTESTATION_OID;
use kms_types::{ReportData, ReportTag};
use rcgen::CustomExtension;

/// Media type of the document in the record.
pub const ATTESTATION_MEDIA_TYPE: &str = "application/vnd.kedge.attestation-v1+json";
/// Bytes of a document in a certificate: TLS peers bound the certificates they read.
pub const MAX_ATTESTATION: usize = 23 * 1024;
/// Indicator of evidence.
const EVIDENCE: u8 = 4;
const UTF8_STRING: u8 = 0x0c;

/// The extension for a certificate of the key with this SubjectPublicKeyInfo.
pub(super) async fn extension(state: &AppState, spki_der: &[u8]) -> Result<CustomExtension, SocketError> {
    let report = ReportData::bind(ReportTag::RaTls, &[spki_der]);
    let document = attest::document(state, report).await?;
    if document.len() > MAX_ATTESTATION {
        return Err(SocketError::TooLarge {
            what: "attestation in a certificate (an app's own events count)",
            max: MAX_ATTESTATION,
        });
    }
    let record = serde_json::json!([
        ATTESTATION_MEDIA_TYPE,
        URL_SAFE_NO_PAD.encode(&document),
        EVIDENCE
    ]);
    let content = utf8_string(record.to_string().as_bytes());
    Ok(CustomExtension::from_oid_content(&ATTESTATION_OID, content))
}

/// DER of a text of less than 64 KiB.
fn utf8_string(text: &[u8]) -> Vec<u8> {
    let [.., high, low] = text.len().to_be_bytes();
    let mut der = match text.len() {
        0..0x80 => vec![UTF8_STRING, low],
        0x80..0x100 => vec![UTF8_STRING, 0x81, low],
        _ => vec![UTF8_STRING, 0x82, high, low],
    };
    der.extend_from_slice(text);
    der
}
