//! TLS 1.3 with a certificate under the KMS CA, renewed while the node runs. Clients trust the CA's key, which is on-chain.

use kms_keys::{CaError, EpochKeys, Validity};
use kms_types::UnixTime;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::{Arc, PoisonError, RwLock};

/// Life of the node's certificate; it is renewed each day.
const CERTIFICATE_S: u64 = 7 * 86_400;
/// Clients' clocks may be behind by this much.
const BACKDATED_S: u64 = 3600;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate is not issued.
    #[error("certificate of the node")]
    Certificate(#[from] CaError),
    /// The key or the chain is not usable.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
}

/// The node's certificate, replaced as it ages.
#[derive(Debug)]
pub(crate) struct NodeCertificate(RwLock<Arc<CertifiedKey>>);

impl NodeCertificate {
    pub(crate) fn issue(keys: &EpochKeys, names: &[String], now: UnixTime) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(certified(keys, names, now)?)))
    }

    /// A new key and certificate for connections from now on.
    pub(crate) fn renew(&self, keys: &EpochKeys, names: &[String], now: UnixTime) -> Result<(), TlsError> {
        let next = certified(keys, names, now)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

impl ResolvesServerCert for NodeCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(keys: &EpochKeys, names: &[String], now: UnixTime) -> Result<Arc<CertifiedKey>, TlsError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let not_before = UnixTime(now.0.saturating_sub(BACKDATED_S));
    let tls = keys.node_tls(
        &names,
        Validity::starting(not_before, CERTIFICATE_S),
        &mut rand::rng(),
    )?;
    let chain = tls.chain.into_iter().map(CertificateDer::from).collect();
    // K4: borrowed, so that the one copy is the one that is wiped.
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(tls.key_pkcs8.as_slice()));
    let signer = aws_lc_rs::sign::any_supported_type(&key)?;
    Ok(Arc::new(CertifiedKey::new(chain, signer)))
}

/// The configuration of the listener.
pub(crate) fn server(certificate: Arc<NodeCertificate>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    Ok(config)
}
