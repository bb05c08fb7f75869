//! A simulated TD, whatever carries the messages. An answer to another question is refused.

use crate::{
    Td, TdError, limits,
    message::{Answer, Request},
};
use kms_types::{Blob, EventLogEntry, ReportData};
use zeroize::Zeroizing;

/// What carries a question and its answer.
pub trait Link: Send + Sync {
    /// Asks.
    ///
    /// # Errors
    /// When there is no answer, or the TD refused.
    fn ask(&self, request: &Request) -> Result<Answer, TdError>;
}

/// A simulated TD at the other end of a link.
#[derive(Debug)]
pub struct Simulated<L>(pub(crate) L);

/// What came, unless it is a refusal or nothing.
pub(crate) fn answered(answer: Option<Answer>) -> Result<Answer, TdError> {
    match answer {
        Some(Answer::Error { message }) => Err(TdError::Remote { message }),
        Some(answer) => Ok(answer),
        None => Err(TdError::Protocol {
            expected: "an answer",
            actual: "end of stream".to_owned(),
        }),
    }
}

fn other(expected: &'static str, answer: &Answer) -> TdError {
    TdError::Protocol {
        expected,
        actual: answer.name().to_owned(),
    }
}

impl<L: Link> Td for Simulated<L> {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        match self.0.ask(&Request::Quote {
            report_data: *report_data,
        })? {
            Answer::Quote(quote) => Ok(quote.into_bytes()),
            answer => Err(other("quote", &answer)),
        }
    }

    fn extend(&self, name: &str, payload: &[u8]) -> Result<EventLogEntry, TdError> {
        limits::check_event_name(name)?;
        match self.0.ask(&Request::Extend {
            event: name.to_owned(),
            payload: Blob::new(payload.to_vec())?,
        })? {
            Answer::Extended(entry) => Ok(entry),
            answer => Err(other("extended", &answer)),
        }
    }

    fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError> {
        match self.0.ask(&Request::EventLog)? {
            Answer::EventLog(entries) => Ok(entries),
            answer => Err(other("event_log", &answer)),
        }
    }

    fn sealing_key(&self, context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
        match self.0.ask(&Request::SealingKey {
            context: Blob::new(context.to_vec())?,
        })? {
            Answer::SealingKey(key) => Ok(key.0),
            answer => Err(other("sealing_key", &answer)),
        }
    }
}
