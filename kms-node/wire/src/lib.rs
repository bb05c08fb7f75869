//! Messages of the KMS protocol, version 1, with the bytes both sides hash.
//!
//! JSON over HTTPS. Unknown fields, wrong lengths and texts above their bound are refused while parsing. What must be equal on
//! both sides to the byte (report data, additional data, transcript) is computed here and nowhere else. Beside it stands the
//! body of dstack's webhook ([`boot_auth`]), whose callers may send fields unknown here.
#![forbid(unsafe_code)]

pub mod boot_auth;
mod certificate;
mod decisions;
mod exact;
mod history;
mod keys;
mod lease;
mod limits;
mod local;
mod log;
mod meta;
mod problem;
mod release;
mod transcript;

pub use certificate::{CertificateRequest, CertificateResponse};
pub use decisions::{DecidedBy, DecisionSubject, HeadStanding, PolicyDecision, PolicyDecisions};
pub use history::{EventField, HistoryRange, PolicyEvent, PolicyHistory};
pub use keys::{AppKeys, SecretBytes};
pub use lease::{LeaseClaims, LeaseResponse};
pub use limits::*;
pub use local::{
    LOCAL_ENCRYPTED_KEY, LocalAnswer, LocalFrameError, LocalRequest, MAX_LOCAL_ANSWER, MAX_LOCAL_COLLATERAL,
    MAX_LOCAL_REQUEST, local_frame, local_frame_length,
};
pub use log::{
    ConsistencyProof, InclusionProof, IndexedEntry, LogEntries, LogEntry, LogPosition, ReleaseKind,
    SignedTreeHead,
};
pub use meta::{EnvPublicKey, EpochIdentity, Meta};
pub use problem::{Problem, ProblemCode};
pub use release::{AppKeysResponse, ChallengeResponse, Decision, Evidence};
pub use transcript::{LeaseTranscript, ReleaseTranscript, evidence_report_data};

pub use kms_types::{
    AppId, Blob, BlobTooLong, BlockHash, BlockRef, ChainAddress, ChainId, ComposeHash, DeviceId,
    DiskGeneration, DiskMark, EventLogEntry, InstanceId, InstanceSeed, KeyEpoch, KmsIdentity, OsImageHash,
    ProvenBlock, ReportData, ReportTag, UnixTime,
};
