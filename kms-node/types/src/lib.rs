//! Nouns that cross two processes: identities, measurements, boot records, epochs, block references.
//!
//! Every value here has a fixed size or a bound and is parsed once, at the edge. A value of the wrong
//! length is refused; nothing is padded, truncated or guessed. No I/O, no clock, no randomness.
#![forbid(unsafe_code)]

mod blob;
mod boot;
mod bytes;
mod chain;
mod disk;
mod encode;
mod event;
mod ids;
mod measure;
mod report;
mod tcb;

pub use blob::{Blob, BlobTooLong};
pub use boot::{BootInfo, BootRecord, TeeType};
pub use bytes::ParseBytesError;
pub use chain::{BlockHash, BlockRef, ChainAddress, ChainId, KeyEpoch, ProvenBlock, UnixTime};
pub use disk::DiskGeneration;
pub use encode::length_prefixed;
pub use event::{EventLogEntry, MAX_EVENT_PAYLOAD, RUNTIME_EVENT_TYPE};
pub use ids::{
    AppId, AttestationRoot, ComposeHash, DeviceId, DiskMark, Fmspc, HostConfigHash, InstanceId, InstanceSeed,
    KeyProviderHash, KmsIdentity, MrAggregated, MrSystem, OsImageHash,
};
pub use measure::{MrSeam, Mrtd, OsMeasurement, Rtmr, TdConfigId};
pub use report::{ReportData, ReportTag};
pub use tcb::{TcbStatus, UnknownTcbStatus};
