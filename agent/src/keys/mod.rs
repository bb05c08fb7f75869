//! Keys an app asks its agent for: derived from the app's secp256k1 secret by path, with the signatures that lead to the KMS.
//!
//! Secrets are derived anew for every request and wiped after it; only public keys and signatures are kept, and only so many.
//! Refuses algorithms it does not know: an unknown name never falls back to another.

mod algorithm;
mod app_key;
mod signing;

pub use algorithm::{Algorithm, SignAlgorithm, UnknownAlgorithm};
pub use app_key::{AppKey, DeriveError, Derived, MAX_CACHED_KEYS, PublicBytes};
pub use signing::{SigningError, sign, verify};
