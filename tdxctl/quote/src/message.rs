//! Messages between [`SocketTd`](crate::SocketTd) and a simulated TD: one JSON object per line, a request and its answer
//! per connection. Lines above [`MAX_LINE`] are refused before they are parsed.
//!
//! ```text
//! {"quote":{"report_data":"0x…64 bytes"}}           → {"quote":"0x…"}
//! {"extend":{"event":"app-id","payload":"0x…"}}     → {"extended":{"imr":3,…}}
//! "event_log"                                       → {"event_log":[…]}
//! {"sealing_key":{"context":"0x…"}}                 → {"sealing_key":"…32 bytes"}
//!                                                   → {"error":{"message":"…"}}
//! ```

use crate::{MAX_LINE, MAX_QUOTE, TdError};
use kms_types::{Blob, EventLogEntry, MAX_EVENT_PAYLOAD, ReportData};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    borrow::Cow,
    io::{BufRead, Read, Write},
    path::Path,
};
use zeroize::Zeroizing;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// A quote.
    Quote {
        /// What it says about the request.
        report_data: ReportData,
    },
    /// An extension of RTMR3.
    Extend {
        /// Name of the event.
        event: String,
        /// Its payload.
        payload: Blob<MAX_EVENT_PAYLOAD>,
    },
    /// The events so far.
    EventLog,
    /// A sealing key.
    SealingKey {
        /// What it is for.
        context: Blob<1024>,
    },
}

/// What a simulated TD answers. Holds a secret in one case, hence no `Debug` and no `Clone`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The quote.
    Quote(Blob<MAX_QUOTE>),
    /// The event as recorded.
    Extended(EventLogEntry),
    /// The events so far.
    EventLog(Vec<EventLogEntry>),
    /// The sealing key.
    SealingKey(SealingKey),
    /// Why there is none of the above.
    Error {
        /// In words.
        message: String,
    },
}

impl Answer {
    /// Name of the variant, for errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quote(_) => "quote",
            Self::Extended(_) => "extended",
            Self::EventLog(_) => "event_log",
            Self::SealingKey(_) => "sealing_key",
            Self::Error { .. } => "error",
        }
    }
}

/// 32 secret bytes on their way over the socket, wiped on drop.
pub struct SealingKey(pub Zeroizing<[u8; 32]>);

impl Serialize for SealingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(self.0.as_ref())))
    }
}

impl<'de> Deserialize<'de> for SealingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.as_ref(), key.as_mut()).map_err(de::Error::custom)?;
        Ok(Self(key))
    }
}

/// Writes one message and its line end. `path` names the socket in errors.
///
/// # Errors
/// When the message is above the bound or the socket does not take it.
pub fn send(stream: &mut impl Write, path: &Path, message: &impl Serialize) -> Result<(), TdError> {
    let mut line = Zeroizing::new(serde_json::to_vec(message).map_err(|_| TdError::Protocol {
        expected: "a message that JSON can hold",
        actual: "another".to_owned(),
    })?);
    TdError::bound("TD message", MAX_LINE - 1, line.len())?;
    line.push(b'\n');
    stream
        .write_all(&line)
        .and_then(|()| stream.flush())
        .map_err(TdError::io(path))
}

/// Reads one line and parses it. Nothing when the other side closed without a word.
///
/// # Errors
/// When the line is above the bound, cut off, or not the message.
pub fn receive<M: for<'de> Deserialize<'de>>(
    stream: &mut impl BufRead,
    path: &Path,
) -> Result<Option<M>, TdError> {
    let mut line = Zeroizing::new(Vec::new());
    stream
        .take(MAX_LINE as u64 + 1)
        .read_until(b'\n', &mut line)
        .map_err(TdError::io(path))?;
    // Q8: nothing above the bound is ever held, whatever the other side sends.
    TdError::bound("TD message", MAX_LINE, line.len())?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => serde_json::from_slice(&line)
            .map(Some)
            .map_err(|error| TdError::Protocol {
                expected: "a message of this protocol",
                actual: format!("{:?} at column {}", error.classify(), error.column()),
            }),
        Some(_) => Err(TdError::Protocol {
            expected: "a whole line",
            actual: format!("{} bytes without a line end", line.len()),
        }),
    }
}
