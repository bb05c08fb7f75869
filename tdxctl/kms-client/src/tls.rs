//! The TLS side of the pin: a KMS presents [leaf, CA]; the CA's key must be the pinned one and the leaf signed by it. Public
//! authorities and names of the URL play no part. TLS 1.3 only.

use crate::pin::identity_of;
use kms_keys::KMS_SERVER_NAME;
use kms_types::KmsIdentity;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Why the other end is not the KMS that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherKms {
    /// What was wanted.
    pub(crate) expected: String,
    /// What was presented.
    pub(crate) actual: String,
}

/// Accepts the pinned KMS and nobody else.
#[derive(Debug)]
pub(crate) struct PinnedKms {
    identity: KmsIdentity,
    provider: Arc<CryptoProvider>,
    refused: Mutex<Option<OtherKms>>,
}

impl PinnedKms {
    pub(crate) fn new(identity: KmsIdentity) -> Self {
        Self {
            identity,
            provider: Arc::new(aws_lc_rs::default_provider()),
            refused: Mutex::new(None),
        }
    }

    /// Configuration of a client that speaks to the pinned KMS only.
    pub(crate) fn client_config(self: &Arc<Self>) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        // A session resumed from an earlier connection would skip the comparison below.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    /// What was refused, if anything was.
    pub(crate) fn refusal(&self) -> Option<OtherKms> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn refuse(&self, expected: String, actual: String, error: Error) -> Error {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(OtherKms { expected, actual });
        error
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let untrusted = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let [ca] = rest else {
            let actual = format!("{} certificates", rest.len().saturating_add(1));
            return Err(self.refuse("leaf and CA".to_owned(), actual, untrusted()));
        };
        let actual = identity_of(ca);
        // G3: whoever answers at the address is not the KMS unless its CA key is the one pinned or recorded on-chain.
        if actual != Some(self.identity) {
            let actual = actual.map_or_else(|| "a CA that does not parse".to_owned(), |id| id.to_string());
            return Err(self.refuse(self.identity.to_string(), actual, untrusted()));
        }
        self.check_leaf(leaf, ca, now).map_err(|error| {
            let expected = format!("a certificate for {KMS_SERVER_NAME} by the pinned CA");
            self.refuse(expected, error.to_string(), error)
        })
    }

    fn check_leaf(
        &self,
        leaf: &CertificateDer<'_>,
        ca: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let leaf = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        // G3: the CA's certificate is public; only a leaf it signed for a KMS shows that the other end holds a key of it.
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], now, algorithms)?;
        // G3: the CA also issues the app CAs; a name of an app is not the KMS.
        let name = ServerName::try_from(KMS_SERVER_NAME)
            .map_err(|_| Error::InvalidCertificate(CertificateError::NotValidForName))?;
        verify_server_name(&leaf, &name)
    }
}

impl ServerCertVerifier for PinnedKms {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name_of_the_url: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, now)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("expected TLS 1.3, got TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
