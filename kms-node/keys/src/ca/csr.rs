//! Certificate signing requests (PKCS #10), as an app's agent sends them.
//!
//! Refuses anything but a P-256 key that signed its own request, and every extension but DNS names, `digitalSignature`,
//! server and client authentication, a basic constraint of "no CA" and an attestation. The subject is never copied.

use super::CaError;
use p256::ecdsa::{DerSignature, VerifyingKey, signature::Verifier};
use rcgen::{ExtendedKeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    der_parser::{Oid, oid},
    extensions::{GeneralName, ParsedExtension, X509Extension},
    prelude::FromDer,
};

/// Bytes of a request.
pub const MAX_CSR_LEN: usize = 40 * 1024;
/// Bytes of the attestation a request may carry.
pub const MAX_ATTESTATION_LEN: usize = 32 * 1024;
/// `id-pe-cmw`: an attestation in a certificate (IETF RATS, Conceptual Messages Wrapper).
pub const ATTESTATION_OID: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 35];

const CMW: Oid<'static> = oid!(1.3.6.1.5.5.7.1.35);
const EC_PUBLIC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
const PRIME256V1: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const ECDSA_SHA256: Oid<'static> = oid!(1.2.840.10045.4.3.2);
/// ecdsa-with-SHA256 without parameters (RFC 5758 §3.2).
const ECDSA_SHA256_IDENTIFIER: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
const DIGITAL_SIGNATURE: u16 = 1;

/// A request whose signature holds.
pub(super) struct CheckedRequest {
    point: Vec<u8>,
    /// Names it asks for; empty when it leaves them to the issuer.
    pub(super) names: Vec<String>,
    /// Usages it asks for; empty when it leaves them to the issuer.
    pub(super) usages: Vec<ExtendedKeyUsagePurpose>,
    /// Value of the attestation extension, as it is.
    pub(super) attestation: Option<Vec<u8>>,
}

impl PublicKeyData for CheckedRequest {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl CheckedRequest {
    pub(super) fn parse(der: &[u8]) -> Result<Self, CaError> {
        if der.len() > MAX_CSR_LEN {
            return Err(CaError::RequestTooLong { actual: der.len() });
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|error| CaError::RequestForm {
                actual: error.to_string(),
            })?;
        if !rest.is_empty() {
            return Err(CaError::RequestForm {
                actual: format!("{} bytes after it", rest.len()),
            });
        }
        let mut checked = Self {
            point: checked_key(&request)?,
            names: Vec::new(),
            usages: Vec::new(),
            attestation: None,
        };
        let mut seen: Vec<Oid<'_>> = Vec::new();
        for attribute in request.certification_request_info.iter_attributes() {
            let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else {
                return Err(CaError::Extension {
                    expected: "no attribute but an extension request",
                    actual: attribute.oid.to_id_string(),
                });
            };
            for extension in &requested.extensions {
                if seen.contains(&extension.oid) {
                    return Err(CaError::Extension {
                        expected: "each extension once",
                        actual: extension.oid.to_id_string(),
                    });
                }
                seen.push(extension.oid.clone());
                checked.take(extension)?;
            }
        }
        Ok(checked)
    }

    fn take(&mut self, extension: &X509Extension<'_>) -> Result<(), CaError> {
        let refused = |expected: &'static str, actual: String| Err(CaError::Extension { expected, actual });
        // What it says is between the app and those who verify it; the signature over the certificate does not vouch for it.
        if extension.oid == CMW {
            if extension.critical || extension.value.len() > MAX_ATTESTATION_LEN {
                return refused(
                    "an attestation of at most 32 KiB, not critical",
                    format!(
                        "{} bytes, critical: {}",
                        extension.value.len(),
                        extension.critical
                    ),
                );
            }
            self.attestation = Some(extension.value.to_vec());
            return Ok(());
        }
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                super::names::bounded(san.general_names.len())?;
                for name in &san.general_names {
                    let GeneralName::DNSName(dns) = name else {
                        return refused("DNS names only", name.to_string());
                    };
                    self.names.push((*dns).to_owned());
                }
                Ok(())
            }
            ParsedExtension::KeyUsage(usage) if usage.flags == DIGITAL_SIGNATURE => Ok(()),
            ParsedExtension::KeyUsage(usage) => refused("key usage digitalSignature", usage.to_string()),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let others = usage.any
                    || usage.code_signing
                    || usage.email_protection
                    || usage.time_stamping
                    || usage.ocsp_signing
                    || !usage.other.is_empty();
                if others {
                    return refused("server and client authentication", format!("{usage:?}"));
                }
                let server = usage.server_auth.then_some(ExtendedKeyUsagePurpose::ServerAuth);
                let client = usage.client_auth.then_some(ExtendedKeyUsagePurpose::ClientAuth);
                self.usages.extend(server.into_iter().chain(client));
                Ok(())
            }
            ParsedExtension::BasicConstraints(basic) if !basic.ca => Ok(()),
            ParsedExtension::BasicConstraints(_) => refused("no CA", "a request for a CA".to_owned()),
            _ => refused("names and usages", extension.oid.to_id_string()),
        }
    }
}

/// The public key, once it has shown that its holder made this request.
fn checked_key(request: &X509CertificationRequest<'_>) -> Result<Vec<u8>, CaError> {
    let info = &request.certification_request_info;
    let key_type = |actual: String| CaError::KeyType { actual };
    let algorithm = &info.subject_pki.algorithm;
    if algorithm.algorithm != EC_PUBLIC_KEY {
        return Err(key_type(algorithm.algorithm.to_id_string()));
    }
    let curve = algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
    if curve.as_ref() != Some(&PRIME256V1) {
        return Err(key_type(
            curve.map_or_else(|| "no named curve".to_owned(), |c| c.to_id_string()),
        ));
    }
    if request.signature_algorithm.algorithm != ECDSA_SHA256 {
        return Err(key_type(request.signature_algorithm.algorithm.to_id_string()));
    }
    let point = info.subject_pki.subject_public_key.data.as_ref();
    // One encoding only: the certificate repeats these bytes.
    if point.len() != 65 {
        return Err(key_type(format!("a point of {} bytes", point.len())));
    }
    let key =
        VerifyingKey::from_sec1_bytes(point).map_err(|_| key_type("no point of the curve".to_owned()))?;
    let signature = DerSignature::try_from(request.signature_value.data.as_ref())
        .map_err(|_| CaError::RequestSignature)?;
    key.verify(info.raw, &signature)
        .map_err(|_| CaError::RequestSignature)?;
    // The parser is lax about what is around the signed part; two encodings of one request would be two requests.
    let bit_string = [&[0], signature.as_bytes()].concat();
    let canonical = tlv(
        0x30,
        &[info.raw, ECDSA_SHA256_IDENTIFIER, &tlv(0x03, &[&bit_string])],
    );
    if canonical != request.as_raw() {
        return Err(CaError::RequestForm {
            actual: "another encoding".to_owned(),
        });
    }
    Ok(point.to_vec())
}

/// One DER element of less than 64 KiB.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let [.., high, low] = body.len().to_be_bytes();
    let mut out = match body.len() {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend_from_slice(&body);
    out
}
