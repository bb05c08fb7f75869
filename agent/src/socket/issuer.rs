//! Who certifies the app's TLS keys.

use async_trait::async_trait;
use kms_types::UnixTime;

/// A certificate an app asks for.
#[derive(Debug, Clone)]
pub struct CertificateOrder {
    /// PKCS #10 request in DER: key, names, usages.
    pub csr: Vec<u8>,
    /// Start of validity; none leaves it to the issuer.
    pub not_before: Option<UnixTime>,
    /// End of validity; none leaves it to the issuer.
    pub not_after: Option<UnixTime>,
}

/// Why there is no certificate.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IssueError {
    /// The order asks for what no app may have: another's name, too long a time.
    #[error("certificate order: {reason}")]
    Malformed {
        /// In the issuer's words.
        reason: String,
    },
    /// This app may not have one now.
    #[error("certificate: denied: {reason}")]
    Denied {
        /// In the issuer's or the contract's words.
        reason: String,
    },
    /// The issuer could not be asked.
    #[error("certificate issuer: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// Certifies keys of this instance under its app's CA.
#[async_trait]
pub trait CertificateIssuer: Send + Sync {
    /// The chain leaf, app CA, KMS CA; PEM.
    ///
    /// # Errors
    /// When the order is refused, denied, or nobody could be asked.
    async fn issue(&self, order: CertificateOrder) -> Result<Vec<String>, IssueError>;
}

/// The issuer of an instance without a KMS: there is none to ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoIssuer;

#[async_trait]
impl CertificateIssuer for NoIssuer {
    async fn issue(&self, _order: CertificateOrder) -> Result<Vec<String>, IssueError> {
        // Asking again would change nothing: a client that tries until it is answered would never end.
        Err(IssueError::Denied {
            reason: "expected a KMS, got an instance that runs without one: set key_provider to \"kms\" in \
                     app-compose.json"
                .to_owned(),
        })
    }
}
