//! The KMS CA and the app CAs: certificates that are functions of the root.

use super::names::app_domain;
use crate::{derive::KeyError, label::Label};
use kms_types::{AppId, KeyEpoch, KmsIdentity};
use p256::{
    ecdsa::{DerSignature, SigningKey, signature::Signer},
    pkcs8::EncodePublicKey,
};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree,
    IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SerialNumber, SignatureAlgorithm,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// 2025-01-01T00:00:00Z.
const CA_NOT_BEFORE: i64 = 1_735_689_600;
/// 9999-12-31T23:59:59Z: no well-defined end (RFC 5280 §4.1.2.5). An epoch ends on-chain, with `minKeyEpoch`.
const CA_NOT_AFTER: i64 = 253_402_300_799;

/// A P-256 key that signs certificates.
pub(crate) struct CaKey {
    secret: SigningKey,
    point: Vec<u8>,
}

impl CaKey {
    pub(crate) fn new(secret: p256::SecretKey) -> Self {
        let secret = SigningKey::from(secret);
        let point = secret.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Self { secret, point }
    }
}

impl PublicKeyData for CaKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for CaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = self
            .secret
            .try_sign(message)
            .map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.as_bytes().to_vec())
    }
}

/// RFC 7093 method 1: 160 bits of SHA-256 of the public key.
pub(super) fn key_id(point: &[u8]) -> KeyIdMethod {
    KeyIdMethod::PreSpecified(Sha256::digest(point).iter().take(20).copied().collect())
}

/// 126 bits of SHA-256 over what the certificate says; positive and never zero (RFC 5280 §4.1.2.2).
pub(super) fn serial(parts: &[&[u8]]) -> SerialNumber {
    let digest = Sha256::digest(kms_types::length_prefixed(
        [b"kedge/serial/v1".as_slice()]
            .into_iter()
            .chain(parts.iter().copied()),
    ));
    let bytes: Vec<u8> = digest
        .iter()
        .take(16)
        .enumerate()
        .map(|(i, b)| if i == 0 { (b & 0x3f) | 0x40 } else { *b })
        .collect();
    SerialNumber::from_slice(&bytes)
}

pub(super) fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

pub(super) fn at(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

fn ca_params(common_name: &str, key: &CaKey, path_len: u8) -> Option<CertificateParams> {
    let mut params = CertificateParams::default();
    params.not_before = at(CA_NOT_BEFORE)?;
    params.not_after = at(CA_NOT_AFTER)?;
    params.distinguished_name = subject(common_name);
    params.serial_number = Some(serial(&[common_name.as_bytes(), &key.point]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_len));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = key_id(&key.point);
    Some(params)
}

/// The CA whose SubjectPublicKeyInfo is the KMS identity.
pub(crate) struct KmsCa {
    pub(super) key: CaKey,
    params: CertificateParams,
    identity: KmsIdentity,
    der: Vec<u8>,
    pem: String,
}

impl KmsCa {
    pub(crate) fn new(epoch: KeyEpoch, key: CaKey) -> Result<Self, KeyError> {
        let failed = KeyError::Certificate {
            label: Label::KmsCa.as_str(),
        };
        let params = ca_params(&format!("Kedge KMS, epoch {epoch}"), &key, 1).ok_or(failed)?;
        let certificate = params.self_signed(&key).map_err(|_| failed)?;
        let spki = key
            .secret
            .verifying_key()
            .to_public_key_der()
            .map_err(|_| failed)?;
        Ok(Self {
            identity: KmsIdentity::of_spki(spki.as_bytes()),
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            key,
            params,
        })
    }

    pub(crate) fn identity(&self) -> KmsIdentity {
        self.identity
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn sign(&self, params: &CertificateParams, key: &CaKey) -> Result<Certificate, rcgen::Error> {
        params.signed_by(key, &Issuer::from_params(&self.params, &self.key))
    }
}

/// The public half of an app's CA. Its key is derived when it signs and nowhere kept.
pub(crate) struct AppCa {
    params: CertificateParams,
    pem: String,
}

impl AppCa {
    pub(crate) fn new(app: AppId, key: &CaKey, kms: &KmsCa) -> Result<Self, KeyError> {
        let failed = KeyError::Certificate {
            label: Label::AppCa.as_str(),
        };
        let mut params = ca_params(&format!("Kedge app {}", app.to_plain_hex()), key, 0).ok_or(failed)?;
        params.use_authority_key_identifier_extension = true;
        // An app's CA must not speak for another app, nor for a KMS node, nor for an address.
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(app_domain(&app))],
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)),
                GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)),
            ],
        });
        let pem = kms.sign(&params, key).map_err(|_| failed)?.pem();
        Ok(Self { params, pem })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn sign<K: PublicKeyData>(
        &self,
        params: &CertificateParams,
        subject: &K,
        key: &CaKey,
    ) -> Result<Certificate, rcgen::Error> {
        params.signed_by(subject, &Issuer::from_params(&self.params, key))
    }
}
