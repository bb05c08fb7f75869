//! The cryptography dcap-qvl verifies with: ECDSA P-256 and SHA-2 of aws-lc-rs, the library everything else here uses.
//! No other algorithm is on offer, so no certificate can choose a weaker one.

use aws_lc_rs::{
    digest::{self, SHA256, SHA384},
    signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey},
};
use dcap_qvl::{
    config::{Config, CryptoProvider},
    signature::DerSigEncoder,
    x509::X509CertBackend,
};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

/// dcap-qvl's own parsers with the cryptography above.
pub(crate) struct AwsLc;

impl Config for AwsLc {
    type X509 = X509CertBackend;
    type SigEncoder = DerSigEncoder;
    type Crypto = Self;
}

impl CryptoProvider for AwsLc {
    fn sig_algo() -> &'static dyn SignatureVerificationAlgorithm {
        &EcdsaP256Sha256
    }
    fn sha256(data: &[u8]) -> [u8; 32] {
        hash(&SHA256, data)
    }
    fn sha384(data: &[u8]) -> [u8; 48] {
        hash(&SHA384, data)
    }
}

fn hash<const N: usize>(algorithm: &'static digest::Algorithm, data: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(digest::digest(algorithm, data).as_ref()) {
        *to = *from;
    }
    out
}

/// ECDSA with P-256 and SHA-256, signatures in DER.
#[derive(Debug)]
struct EcdsaP256Sha256;

impl SignatureVerificationAlgorithm for EcdsaP256Sha256 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        verify_der(public_key, message, signature)
    }
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }
    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// SHA-256.
pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    hash(&SHA256, data)
}

/// Verifies a DER signature with an uncompressed P-256 point.
pub(crate) fn verify_der(
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), InvalidSignature> {
    // Q1: a compressed point is another spelling of the same key.
    if public_key.len() != 65 {
        return Err(InvalidSignature);
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key)
        .verify(message, signature)
        .map_err(|_| InvalidSignature)
}
