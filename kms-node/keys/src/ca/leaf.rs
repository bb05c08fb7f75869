//! End-entity certificates: an app's, from a request, and a node's, with a fresh key.

use super::{
    CaError,
    authority::{AppCa, CaKey, KmsCa, at, key_id, serial, subject},
    csr::{ATTESTATION_OID, CheckedRequest},
    names::{self, KMS_SERVER_NAME, app_domain},
};
use crate::{derive, secret::Secret};
use kms_types::{AppId, UnixTime};
use p256::pkcs8::EncodePrivateKey;
use rand::CryptoRng;
use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use zeroize::Zeroizing;

/// Longest life of an app's certificate. There is no revocation list: a certificate ends by itself soon after its app is revoked.
pub const MAX_LEAF_SECONDS: u64 = 7 * 86_400;
/// Longest life of a node's certificate. Clients trust the CA's key, not this; a node makes a new one at every start.
pub const MAX_NODE_SECONDS: u64 = 90 * 86_400;

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From.
    pub not_before: UnixTime,
    /// To.
    pub not_after: UnixTime,
}

impl Validity {
    /// From a time, for some seconds.
    pub fn starting(not_before: UnixTime, seconds: u64) -> Self {
        Self {
            not_before,
            not_after: UnixTime(not_before.0.saturating_add(seconds)),
        }
    }

    fn apply(self, max_seconds: u64, params: &mut CertificateParams) -> Result<(), CaError> {
        let refused = || CaError::Validity {
            max_seconds,
            not_before: self.not_before,
            not_after: self.not_after,
        };
        let seconds = self
            .not_after
            .0
            .checked_sub(self.not_before.0)
            .ok_or_else(refused)?;
        if seconds == 0 || seconds > max_seconds {
            return Err(refused());
        }
        let time = |t: UnixTime| i64::try_from(t.0).ok().and_then(at).ok_or_else(refused);
        params.not_before = time(self.not_before)?;
        params.not_after = time(self.not_after)?;
        Ok(())
    }
}

/// What an app asks for and what it may have.
#[derive(Debug, Clone, Copy)]
pub struct LeafRequest<'a> {
    /// The app.
    pub app: AppId,
    /// PKCS #10 request, DER.
    pub csr: &'a [u8],
    /// Names it may have, each in [`app_domain`]; a request without names gets all of them.
    pub permitted: &'a [String],
    /// When the certificate is valid, at most [`MAX_LEAF_SECONDS`].
    pub validity: Validity,
}

/// A node's TLS key and certificates.
pub struct NodeTls {
    /// Leaf, then KMS CA; DER.
    pub chain: Vec<Vec<u8>>,
    /// PKCS #8, DER.
    pub key_pkcs8: Zeroizing<Vec<u8>>,
}

fn leaf_params(common_name: &str, names: Vec<SanType>, point: &[u8]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(common_name);
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.key_identifier_method = key_id(point);
    params.use_authority_key_identifier_extension = true;
    params
}

fn encoding(error: rcgen::Error) -> CaError {
    CaError::Encoding {
        actual: error.to_string(),
    }
}

impl AppCa {
    /// The leaf, PEM. `key` is the secret half of this CA.
    pub(crate) fn issue(&self, key: &CaKey, request: &LeafRequest<'_>) -> Result<String, CaError> {
        let checked = CheckedRequest::parse(request.csr)?;
        if let Some(other) = checked
            .names
            .iter()
            .find(|name| !request.permitted.contains(name))
        {
            return Err(CaError::NameNotPermitted {
                permitted: request.permitted.to_vec(),
                actual: other.clone(),
            });
        }
        let wanted = if checked.names.is_empty() {
            request.permitted
        } else {
            &checked.names
        };
        names::bounded(wanted.len())?;
        let domain = app_domain(&request.app);
        let names = wanted
            .iter()
            .map(|name| names::dns_within(name, &domain))
            .collect::<Result<_, _>>()?;
        let mut params = leaf_params(&request.app.to_plain_hex(), names, checked.der_bytes());
        request.validity.apply(MAX_LEAF_SECONDS, &mut params)?;
        params.extended_key_usages = if checked.usages.is_empty() {
            vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ]
        } else {
            checked.usages.clone()
        };
        params.custom_extensions.extend(
            checked
                .attestation
                .iter()
                .map(|value| CustomExtension::from_oid_content(&ATTESTATION_OID, value.clone())),
        );
        params.serial_number = Some(serial(&[
            request.app.as_ref(),
            request.csr,
            wanted.join(",").as_bytes(),
            &request.validity.not_before.0.to_be_bytes(),
            &request.validity.not_after.0.to_be_bytes(),
        ]));
        Ok(self.sign(&params, &checked, key).map_err(encoding)?.pem())
    }
}

impl KmsCa {
    pub(crate) fn node_tls<R: CryptoRng + ?Sized>(
        &self,
        further: &[&str],
        validity: Validity,
        rng: &mut R,
    ) -> Result<NodeTls, CaError> {
        names::bounded(further.len().saturating_add(1))?;
        let names = [KMS_SERVER_NAME]
            .iter()
            .chain(further.iter().filter(|name| **name != KMS_SERVER_NAME))
            .map(|name| names::host(name))
            .collect::<Result<_, _>>()?;
        let secret = derive::scalar::<p256::NistP256>("node TLS key", &Secret::generate(rng))?;
        let pkcs8 = secret.to_pkcs8_der().map_err(|error| CaError::Encoding {
            actual: error.to_string(),
        })?;
        let key = CaKey::new(secret);
        let mut params = leaf_params(KMS_SERVER_NAME, names, key.der_bytes());
        validity.apply(MAX_NODE_SECONDS, &mut params)?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.serial_number = Some(serial(&[
            key.der_bytes(),
            &validity.not_before.0.to_be_bytes(),
            &validity.not_after.0.to_be_bytes(),
        ]));
        let leaf = self.sign(&params, &key).map_err(encoding)?;
        Ok(NodeTls {
            chain: vec![leaf.der().to_vec(), self.der().to_vec()],
            key_pkcs8: Zeroizing::new(pkcs8.as_bytes().to_vec()),
        })
    }
}
