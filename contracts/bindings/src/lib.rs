//! ABI of the Kedge contracts in Rust: questions, answers, the network's state, revert reasons and, with the feature
//! `deploy`, deployment.
//!
//! Generated from the committed artifacts, so building needs no compiler of Solidity. Return data is read strictly
//! and within bounds: an endpoint or a contract that answers anything else gets an error, never a default.
#![forbid(unsafe_code)]

pub mod abi;
mod answer;
mod convert;
#[cfg(feature = "deploy")]
pub mod deploy;
mod event;
mod network;
pub mod question;
mod revert;

pub use answer::{Answer, AnswerError, Denial, MAX_ANSWER, decode_answer};
pub use convert::tcb_status_code;
pub use event::{APP_EVENTS, KMS_EVENTS, MAX_EVENT_VALUE, PolicyEvent, decode_app_event, decode_kms_event};
pub use network::{
    EpochIdentity, K256_PUBKEY_LEN, MAX_NETWORK_STATE, NetworkState, NetworkStateError, decode_kms_identity,
    decode_network_state,
};
pub use revert::explain_revert;
