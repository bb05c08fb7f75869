//! The one root this desk knows by itself. Nodes know none: they take the roots from the chain.

use kms_types::AttestationRoot;

/// SHA-256 of the public key (DER SubjectPublicKeyInfo) of the Intel SGX Root CA, which Intel publishes as
/// <https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.cer>:
/// `openssl x509 -inform der -in FILE -pubkey -noout | openssl pkey -pubin -outform der | sha256sum`.
pub const INTEL_ROOT: AttestationRoot = AttestationRoot::new([
    0xa0, 0xaf, 0x03, 0x12, 0x89, 0xf5, 0xd5, 0xd4, 0x13, 0x2f, 0x91, 0x86, 0x06, 0x8a, 0x7f, 0xc1, 0x36,
    0x28, 0x63, 0x3b, 0xa2, 0x35, 0x77, 0x74, 0x72, 0xe2, 0x9b, 0x6b, 0x6c, 0x67, 0xa4, 0x9e,
]);
