//! First boot: from the host's document to everything the agent needs, in stages that can be killed and started again.
//!
//! The stages ([`run`]) are synchronous and do no I/O: every effect is a method of [`Effects`], whose real implementation is
//! [`Guest`]. What the host hands over is one bounded document; each part of it is measured, authenticated or checked against
//! something that is (docs/protocol.md §13). A run after a kill goes on where the event log stops and ends in the same state.
#![forbid(unsafe_code)]

mod boot;
mod directory;
mod disk;
mod document;
mod effects;
mod env;
mod error;
mod guest;
mod handover;
mod host_config;
mod inspect;
mod keys;
mod measure;
mod requirements;
mod source;
mod storage;

pub use boot::{Stage, run};
pub use directory::DirectoryStorage;
pub use disk::StorageBackend;
pub use document::{ChainFacts, EncryptedEnv, HostDocument, MAX_DOCUMENT};
pub use effects::{BootKeys, Effects, KeyRequest, Machine, Platform, StorageRequest, Told};
pub use error::{SetupError, StageError};
pub use guest::{Guest, GuestOptions, Reporter};
pub use guest_files::FailureKind;
pub use host_config::host_config_hash;
pub use inspect::{Finding, Inspection, inspect};
pub use source::read_document;
