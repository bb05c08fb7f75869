//! A simulated TD behind a unix socket (messages: `td_quote::message`). One thread per connection, a bound on how many,
//! on the size of a request and on the time a client may take. The socket is 0600: whoever connects is the TD's software.

use crate::{SoftTd, SoftTdError};
use kms_types::Blob;
use std::{
    fs,
    io::{self, BufRead, BufReader},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use td_quote::{
    Td, TdError,
    message::{Answer, Request, SealingKey, receive, send},
};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_CONNECTIONS: usize = 64;

/// A TD being served; dropping it stops the service and removes the socket.
pub struct TdServer {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Serves `td` at `path`, which must be free or a socket nobody answers at.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(td: Arc<SoftTd>, path: &Path) -> Result<TdServer, SoftTdError> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path).map_err(SoftTdError::io(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(SoftTdError::io(path))?;
    let stop = Arc::new(AtomicBool::new(false));
    let thread = std::thread::Builder::new()
        .name("soft-td".to_owned())
        .spawn({
            let (stop, path) = (stop.clone(), path.to_owned());
            move || accept(&listener, &td, &stop, &path)
        })
        .map_err(SoftTdError::io(path))?;
    Ok(TdServer {
        path: path.to_owned(),
        stop,
        thread: Some(thread),
    })
}

impl TdServer {
    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TdServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A connection wakes the accepting thread. Where the socket file is gone nobody can wake it: waiting for it would be
        // for ever, and it holds nothing but the listener.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// A socket file outlives a process that was killed; one that answers belongs to a live one.
fn remove_stale(path: &Path) -> Result<(), SoftTdError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SoftTdError::io(path)(error)),
    };
    if !kind.is_socket() || UnixStream::connect(path).is_ok() {
        return Err(SoftTdError::File {
            path: path.display().to_string(),
            expected: "nothing, or a socket nobody answers at",
            actual: if kind.is_socket() {
                "a live socket"
            } else {
                "another file"
            }
            .to_owned(),
        });
    }
    fs::remove_file(path).map_err(SoftTdError::io(path))
}

fn accept(listener: &UnixListener, td: &Arc<SoftTd>, stop: &AtomicBool, path: &Path) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if open.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (td, done, path) = (td.clone(), open.clone(), path.to_owned());
        let started = std::thread::Builder::new().spawn(move || {
            // A client that goes away or talks nonsense has had its error, if it could be told; nothing here depends on it.
            let _ = converse(&stream, &td, &path);
            done.fetch_sub(1, Ordering::AcqRel);
        });
        if started.is_err() {
            open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn converse(stream: &UnixStream, td: &SoftTd, path: &Path) -> Result<(), TdError> {
    let limits = stream
        .set_read_timeout(Some(TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
    limits.map_err(|source| TdError::Io {
        path: path.display().to_string(),
        source,
    })?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        idle(&mut reader, path)?;
        let answer = match receive::<Request>(&mut reader, path) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => answer(td, request).unwrap_or_else(|error| refusal(&error)),
            Err(error) => {
                // What follows a message that cannot be read cannot be read either.
                send(&mut writer, path, &refusal(&error))?;
                return Err(error);
            }
        };
        send(&mut writer, path, &answer)?;
    }
}

/// Returns when a message has begun or the client is gone. Only a message that has begun has a time to end: a VM holds its ports open.
fn idle(reader: &mut impl BufRead, path: &Path) -> Result<(), TdError> {
    loop {
        match reader.fill_buf() {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(source) => {
                return Err(TdError::Io {
                    path: path.display().to_string(),
                    source,
                });
            }
            Ok(_) => return Ok(()),
        }
    }
}

fn refusal(error: &TdError) -> Answer {
    Answer::Error {
        message: error.to_string(),
    }
}

fn answer(td: &SoftTd, request: Request) -> Result<Answer, TdError> {
    Ok(match request {
        Request::Quote { report_data } => Answer::Quote(Blob::new(td.quote(&report_data)?)?),
        Request::Extend { event, payload } => Answer::Extended(td.extend(&event, payload.as_bytes())?),
        Request::EventLog => Answer::EventLog(td.event_log()?),
        Request::SealingKey { context } => {
            Answer::SealingKey(SealingKey(td.sealing_key(context.as_bytes())?))
        }
    })
}
