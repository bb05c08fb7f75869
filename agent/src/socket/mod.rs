//! The app socket (docs/app-socket.md): keys, signatures, quotes, events and certificates for the app of this instance, in the
//! form dstack's SDKs speak, over unix sockets.
//!
//! Whoever can open a socket is the app. Refuses what is above a bound before it is kept, never makes the TD work faster than
//! [`limits`] say, and never answers "no" where it could not ask.

mod attest;
mod certificates;
mod error;
mod event_log;
mod facts;
mod handlers;
mod hex_bytes;
mod issuer;
pub mod limits;
pub mod messages;
mod openapi;
mod own_certificate;
mod query;
mod ra_tls;
mod request;
mod respond;
mod route;
mod serve;
mod state;
pub(crate) mod stream;
mod tappd;
mod td;

pub use attest::ATTESTATION_FORMAT;
pub use error::SocketError;
pub use facts::{AppFacts, KeyMaterial};
pub use hex_bytes::HexBytes;
pub use issuer::{CertificateIssuer, CertificateOrder, IssueError, NoIssuer};
pub use openapi::openapi;
pub use own_certificate::keep_certificate;
pub use ra_tls::{ATTESTATION_MEDIA_TYPE, MAX_ATTESTATION};
pub use request::{Call, parse};
pub use route::{Method, SocketKind};
pub use serve::{bind, serve};
pub use state::{AppState, OpenError};
pub use td::TdAccess;
