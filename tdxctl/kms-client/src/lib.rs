//! The guest's side of the KMS protocol: who the KMS is, what is shown to it, what is believed of its answer.
//!
//! Refuses any KMS but the pinned one, at the TLS connection, at the challenge and again at the signature; there is no first
//! use that is trusted. A local key provider ([`request_local_keys`]) is another thing: proven only where the app pins one.
#![forbid(unsafe_code)]

mod answer;
mod certificate;
mod client;
mod error;
mod evidence;
mod lease;
mod local;
mod pem;
mod pin;
mod pool;
mod request;
mod retry;
mod session;
mod tls;

pub use answer::{Expected, app_public_key};
pub use attestation::{TrustRoots, describe};
pub use certificate::{Certificate, LeafOrder, request_certificate};
pub use error::RequestError;
pub use evidence::{Described, Guest};
pub use lease::{Lease, request_lease};
pub use local::{INTEL_ROOT, LocalError, LocalKeys, LocalOptions, request_local_keys};
pub use pin::{KmsPin, MAX_PIN_BYTES, PinError};
pub use pool::{KmsPool, PoolError, PoolFailure};
pub use request::{Released, RequestOptions, request_keys};
pub use retry::{RetryPolicy, Rotation, Step};
pub use session::Kms;
