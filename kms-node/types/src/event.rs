//! Entries of an event log, as guests record them and verifiers replay them.

use crate::{Blob, Rtmr};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use sha2::{Digest, Sha384};

/// Event type of every runtime event (as dstack).
pub const RUNTIME_EVENT_TYPE: u32 = 0x0800_0001;
/// Bytes of one event payload.
pub const MAX_EVENT_PAYLOAD: usize = 64 * 1024;

/// One entry of an event log. JSON: `{imr, event_type, digest, event, event_payload}`, bytes in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventLogEntry {
    /// Register, 0 to 3.
    pub imr: u32,
    /// TCG event type; [`RUNTIME_EVENT_TYPE`] for runtime events.
    pub event_type: u32,
    /// SHA-384 digest; may be empty for runtime events, whose digest is recomputed and never taken on trust.
    #[serde(deserialize_with = "whole_or_empty")]
    pub digest: Blob<48>,
    /// Name of a runtime event.
    pub event: String,
    /// Payload.
    pub event_payload: Blob<MAX_EVENT_PAYLOAD>,
}

fn whole_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Blob<48>, D::Error> {
    let digest = Blob::<48>::deserialize(deserializer)?;
    match digest.as_bytes().len() {
        0 | 48 => Ok(digest),
        actual => Err(D::Error::custom(format_args!(
            "digest: expected 0 or 48 bytes, got {actual}"
        ))),
    }
}

impl EventLogEntry {
    /// A runtime event of RTMR3 with its digest.
    ///
    /// # Errors
    /// When the payload is longer than [`MAX_EVENT_PAYLOAD`].
    pub fn runtime(name: &str, payload: &[u8]) -> Result<Self, crate::BlobTooLong> {
        let mut entry = Self {
            imr: 3,
            event_type: RUNTIME_EVENT_TYPE,
            digest: Blob::default(),
            event: name.to_owned(),
            event_payload: Blob::new(payload.to_vec())?,
        };
        entry.digest = Blob::new(entry.runtime_digest().to_vec())?;
        Ok(entry)
    }

    /// Digest of a runtime event: SHA-384(LE32(type) ‖ ":" ‖ name ‖ ":" ‖ payload).
    pub fn runtime_digest(&self) -> [u8; 48] {
        Sha384::new()
            .chain_update(self.event_type.to_le_bytes())
            .chain_update(b":")
            .chain_update(self.event.as_bytes())
            .chain_update(b":")
            .chain_update(self.event_payload.as_bytes())
            .finalize()
            .into()
    }

    /// The register after this runtime event.
    pub fn extend(&self, register: &Rtmr) -> Rtmr {
        register.extended(&self.runtime_digest())
    }
}
