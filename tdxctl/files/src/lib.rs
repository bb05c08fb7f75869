//! What the boot stages leave for the agent: where files are, the hand-over document, the keys the agent may have.
//!
//! The agent gets neither the disk key nor the key of the environment: both have done their work before it starts. Files are
//! made for their owner only, whole or not at all, and read within a bound; a link in their place is refused.
#![forbid(unsafe_code)]

mod error;
mod file;
mod handover;
mod keys;
mod paths;
mod progress;

pub use error::FileError;
pub use file::{read_bounded, write_private};
pub use handover::{
    BootMode, HandOver, HandOverVersion, KeyProviderInfo, KmsAccess, MAX_HANDOVER, Registries, Storage,
    StorageKind,
};
pub use keys::{GuestKeys, MAX_KEYS, seal_secret};
pub use paths::GuestPaths;
pub use progress::{FailureKind, Progress, StageState};
