//! Client of a simulated TD at a unix socket. One connection per request, bounded in size and time.

use crate::{
    TdError,
    message::{Answer, Request, receive, send},
    simulated::{Link, Simulated, answered},
};
use std::{
    io::BufReader,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};
const TIMEOUT: Duration = Duration::from_secs(10);

/// A simulated TD behind a unix socket.
pub type SocketTd = Simulated<SocketLink>;

/// The way to it.
#[derive(Debug)]
pub struct SocketLink {
    path: PathBuf,
}

impl SocketTd {
    /// A client of the socket at `path`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, TdError> {
        let link = SocketLink {
            path: path.as_ref().to_owned(),
        };
        link.dial().map(|_| Simulated(link))
    }
}

impl SocketLink {
    fn dial(&self) -> Result<UnixStream, TdError> {
        let stream = UnixStream::connect(&self.path).map_err(TdError::io(&self.path))?;
        stream
            .set_read_timeout(Some(TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)))
            .map_err(TdError::io(&self.path))?;
        Ok(stream)
    }
}

impl Link for SocketLink {
    fn ask(&self, request: &Request) -> Result<Answer, TdError> {
        let mut stream = self.dial()?;
        send(&mut stream, &self.path, request)?;
        answered(receive(&mut BufReader::new(stream), &self.path)?)
    }
}
