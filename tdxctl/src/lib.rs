//! Guest utility and verifier's desk: a TD's quotes, registers and event log; its keys from a KMS; evidence checked offline.
#![forbid(unsafe_code)]

mod kms;
mod pem;

pub use kms::{
    Described, Expected, Guest, KmsPin, MAX_PIN_BYTES, PinError, Released, RequestError, RequestOptions,
    request_keys,
};
