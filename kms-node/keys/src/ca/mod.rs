//! Certificates: the KMS CA, one CA an app, and the leaves of nodes and apps. P-256 and SHA-256 throughout.
//!
//! CA certificates are functions of the root alone (fixed validity, derived serial numbers, RFC 6979 signatures), so every node
//! presents the same bytes. Refuses names outside the app's subtree, lifetimes above the bounds, and requests that ask for more
//! than an end entity's key may do.

mod authority;
mod csr;
mod leaf;
mod names;

pub(crate) use authority::{AppCa, CaKey, KmsCa};
pub use csr::{ATTESTATION_OID, MAX_ATTESTATION_LEN, MAX_CSR_LEN};
pub use leaf::{LeafRequest, MAX_LEAF_SECONDS, MAX_NODE_SECONDS, NodeTls, Validity};
pub use names::{KMS_SERVER_NAME, MAX_NAMES, app_domain, instance_domain};

use crate::derive::KeyError;
use kms_types::UnixTime;

/// Why a certificate is not issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// Above the bound.
    #[error("certificate request: expected at most {max} bytes, got {actual}", max = MAX_CSR_LEN)]
    RequestTooLong {
        /// What came.
        actual: usize,
    },
    /// Not a PKCS #10 request in DER.
    #[error("certificate request: expected one PKCS #10 request in DER, got {actual}")]
    RequestForm {
        /// What is wrong.
        actual: String,
    },
    /// Another kind of key.
    #[error("certificate request: expected a P-256 key and ecdsa-with-SHA256, got {actual}")]
    KeyType {
        /// What came.
        actual: String,
    },
    /// The requester does not have the key.
    #[error("certificate request: expected a signature by its own key, got another")]
    RequestSignature,
    /// It asks for more than an end entity may do.
    #[error("certificate request: expected {expected}, got {actual}")]
    Extension {
        /// What may be asked for.
        expected: &'static str,
        /// What came.
        actual: String,
    },
    /// A name that is not among the permitted ones.
    #[error("certificate name: expected one of {permitted:?}, got {actual:?}")]
    NameNotPermitted {
        /// What is permitted.
        permitted: Vec<String>,
        /// What was asked for.
        actual: String,
    },
    /// Not a name.
    #[error("certificate name: expected a lower-case DNS name{place}, got {actual:?}")]
    Name {
        /// Where it must be, if anywhere.
        place: String,
        /// What came.
        actual: String,
    },
    /// Too few or too many names.
    #[error("certificate names: expected 1 to {max}, got {actual}", max = MAX_NAMES)]
    NameCount {
        /// What came.
        actual: usize,
    },
    /// It would last too long, or not at all.
    #[error("certificate validity: expected 1 to {max_seconds} s, got {not_before} to {not_after}")]
    Validity {
        /// The bound.
        max_seconds: u64,
        /// Start that was asked for.
        not_before: UnixTime,
        /// End that was asked for.
        not_after: UnixTime,
    },
    /// A key could not be derived or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The encoder refused.
    #[error("certificate: expected one from the encoder, got {actual}")]
    Encoding {
        /// What it said.
        actual: String,
    },
}
