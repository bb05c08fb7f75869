//! Client of a simulated TD. One connection per request, bounded in size and time; an answer to another question is refused.

use crate::{
    Td, TdError, limits,
    message::{Answer, Request, receive, send},
};
use kms_types::{Blob, EventLogEntry, ReportData};
use std::{
    io::BufReader,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A simulated TD behind a unix socket.
#[derive(Debug)]
pub struct SocketTd {
    path: PathBuf,
}

impl SocketTd {
    /// A client of the socket at `path`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, TdError> {
        let td = Self {
            path: path.as_ref().to_owned(),
        };
        td.dial().map(|_| td)
    }

    fn dial(&self) -> Result<UnixStream, TdError> {
        let stream = UnixStream::connect(&self.path).map_err(TdError::io(&self.path))?;
        stream
            .set_read_timeout(Some(TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)))
            .map_err(TdError::io(&self.path))?;
        Ok(stream)
    }

    fn ask(&self, request: &Request) -> Result<Answer, TdError> {
        let mut stream = self.dial()?;
        send(&mut stream, &self.path, request)?;
        match receive(&mut BufReader::new(stream), &self.path)? {
            Some(Answer::Error { message }) => Err(TdError::Remote { message }),
            Some(answer) => Ok(answer),
            None => Err(TdError::Protocol {
                expected: "an answer",
                actual: "end of stream".to_owned(),
            }),
        }
    }
}

fn other(expected: &'static str, answer: &Answer) -> TdError {
    TdError::Protocol {
        expected,
        actual: answer.name().to_owned(),
    }
}

impl Td for SocketTd {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        match self.ask(&Request::Quote {
            report_data: *report_data,
        })? {
            Answer::Quote(quote) => Ok(quote.into_bytes()),
            answer => Err(other("quote", &answer)),
        }
    }

    fn extend(&self, name: &str, payload: &[u8]) -> Result<EventLogEntry, TdError> {
        limits::check_event_name(name)?;
        match self.ask(&Request::Extend {
            event: name.to_owned(),
            payload: Blob::new(payload.to_vec())?,
        })? {
            Answer::Extended(entry) => Ok(entry),
            answer => Err(other("extended", &answer)),
        }
    }

    fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError> {
        match self.ask(&Request::EventLog)? {
            Answer::EventLog(entries) => Ok(entries),
            answer => Err(other("event_log", &answer)),
        }
    }

    fn sealing_key(&self, context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
        match self.ask(&Request::SealingKey {
            context: Blob::new(context.to_vec())?,
        })? {
            Answer::SealingKey(key) => Ok(key.0),
            answer => Err(other("sealing_key", &answer)),
        }
    }
}
