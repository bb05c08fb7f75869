//! TLS keys with certificates under the app's CA. The key never leaves this process but in the answer; the issuer sees a request
//! signed by it.

use super::{
    AppState, SocketError,
    issuer::{CertificateOrder, IssueError},
    limits::{MAX_NAMES, MAX_SUBJECT},
    messages::{GetTlsKeyArgs, GetTlsKeyResponse},
    ra_tls, respond,
};
use hyper::body::Bytes;
use kms_types::UnixTime;
use p256::{
    SecretKey,
    ecdsa::{DerSignature, SigningKey, signature::Signer},
    elliptic_curve::sec1::ToEncodedPoint,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SignatureAlgorithm,
};

/// A P-256 key as the request's encoder wants it.
struct RequestKey {
    key: SigningKey,
    point: Vec<u8>,
}

impl RequestKey {
    fn new(secret: &SecretKey) -> Self {
        Self {
            key: SigningKey::from(secret),
            point: secret.public_key().to_encoded_point(false).as_bytes().to_vec(),
        }
    }
}

impl PublicKeyData for RequestKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for RequestKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = self.key.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

impl From<IssueError> for SocketError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Malformed { reason } => {
                Self::malformed("certificate", "names, usages and times of this app", reason)
            }
            IssueError::Denied { reason } => Self::Denied { reason },
            IssueError::Unavailable { reason } => Self::Unavailable { reason },
        }
    }
}

fn fault(what: &str) -> SocketError {
    SocketError::Internal {
        reason: format!("certificate request: the encoder refused {what}"),
    }
}

fn check(args: &GetTlsKeyArgs) -> Result<(), SocketError> {
    if args.subject.len() > MAX_SUBJECT || args.subject.chars().any(char::is_control) {
        return Err(SocketError::malformed(
            "subject",
            format!("at most {MAX_SUBJECT} bytes without control characters"),
            format!("{} bytes", args.subject.len()),
        ));
    }
    if args.alt_names.len() > MAX_NAMES {
        return Err(SocketError::malformed(
            "alt_names",
            format!("at most {MAX_NAMES} names"),
            args.alt_names.len().to_string(),
        ));
    }
    if let (Some(from), Some(to)) = (args.not_before, args.not_after)
        && from >= to
    {
        return Err(SocketError::malformed(
            "not_after",
            format!("a time after not_before, {from}"),
            to.to_string(),
        ));
    }
    Ok(())
}

fn request(
    args: &GetTlsKeyArgs,
    key: &RequestKey,
    attestation: Option<CustomExtension>,
) -> Result<Vec<u8>, SocketError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !args.subject.is_empty() {
        params
            .distinguished_name
            .push(DnType::CommonName, args.subject.as_str());
    }
    for name in &args.alt_names {
        let name = name.as_str().try_into().map_err(|_| {
            let actual: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            SocketError::malformed("alt_names", "DNS names", format!("{actual:?}"))
        })?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if args.usage_server_auth {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    if args.usage_client_auth {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    params.custom_extensions.extend(attestation);
    let request = params.serialize_request(key).map_err(|_| fault("it"))?;
    Ok(request.der().to_vec())
}

/// `GetTlsKey` with a fresh key.
pub(super) async fn get_tls_key(state: &AppState, args: &GetTlsKeyArgs) -> Result<Bytes, SocketError> {
    certify(state, args, &fresh()?).await
}

/// A key nobody else has.
pub(super) fn fresh() -> Result<SecretKey, SocketError> {
    let mut rng = rand::rng();
    // A candidate outside the group order comes up once in 2³² tries.
    for _ in 0..16 {
        let candidate = kms_keys::Secret::<32>::generate(&mut rng);
        if let Ok(key) = SecretKey::from_slice(candidate.expose()) {
            return Ok(key);
        }
    }
    Err(fault("sixteen random keys"))
}

/// The answer for a key.
pub(super) async fn certify(
    state: &AppState,
    args: &GetTlsKeyArgs,
    secret: &SecretKey,
) -> Result<Bytes, SocketError> {
    let chain = chain(state, args, secret).await?;
    let pem = secret
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|_| fault("the key"))?;
    respond::large_secret(&GetTlsKeyResponse {
        key: &pem,
        certificate_chain: &chain,
    })
}

/// A chain for a key: leaf, app CA, KMS CA; PEM.
pub(super) async fn chain(
    state: &AppState,
    args: &GetTlsKeyArgs,
    secret: &SecretKey,
) -> Result<Vec<String>, SocketError> {
    check(args)?;
    let attestation = if args.usage_ra_tls {
        let spki = secret
            .public_key()
            .to_public_key_der()
            .map_err(|_| fault("the public key"))?;
        Some(ra_tls::extension(state, spki.as_bytes()).await?)
    } else {
        None
    };
    let order = CertificateOrder {
        csr: request(args, &RequestKey::new(secret), attestation)?,
        not_before: args.not_before.map(UnixTime),
        not_after: args.not_after.map(UnixTime),
    };
    Ok(state.issuer.issue(order).await?)
}
