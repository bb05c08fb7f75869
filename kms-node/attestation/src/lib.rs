//! Quote bytes to [`VerifiedBoot`]: DCAP verification of Intel TDX quotes, event-log replay, proof of the OS image.
//!
//! Evidence, collateral, time and trust roots come in; a verdict goes out. There is no HTTP, no file and no clock in
//! here, and no root certificate. Whatever cannot be verified is refused with the number of the check that refused it
//! (docs/security.md, Q1–Q8 and B1–B6). What is *policy* – which TCB status, advisory, platform, module, image and app
//! is acceptable – is not decided here: it is reported in a [`BootRecord`](kms_types::BootRecord) for the contract.
#![forbid(unsafe_code)]

mod body;
mod boot;
mod cache;
mod certify;
mod classify;
mod collateral;
mod crypto;
mod describe;
mod error;
mod events;
mod identity;
mod image;
mod layout;
mod pem;
mod quote;
mod reader;
mod replay;
mod report;
mod roots;
mod td;
mod time;

pub use boot::{BootClaim, BootPhase, ConfigIdPolicy, VerifiedBoot, config_id_for};
pub use collateral::{Collateral, MAX_COLLATERAL_BYTES};
pub use describe::{PckCa, QuoteDescription, describe};
pub use error::{AttestationError, Mismatch};
pub use events::{BootEvents, is_boot_event};
pub use identity::{key_provider_hash, mr_aggregated, mr_system};
pub use image::{MAX_LEAVES, MAX_PROOF_BYTES, os_image_hash_from_proof};
pub use quote::MAX_QUOTE_BYTES;
pub use replay::{MAX_EVENT_LOG_BYTES, MAX_EVENT_NAME, MAX_EVENTS, Replayed, replay, replay_registers};
pub use report::{CheckResult, verify_report};
pub use roots::TrustRoots;
pub use td::{VerifiedTd, Verifier, verify_td};
pub use time::{MAX_CLOCK_LAG_SECONDS, verification_time};

pub(crate) use kms_types::UnixTime;
