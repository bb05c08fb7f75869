//! Root secrets, derivation, signing and sealing.
#![forbid(unsafe_code)]
