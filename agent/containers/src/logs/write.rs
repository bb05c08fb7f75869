//! The log writer: a process the shim starts for one container. It gets standard output and error of the container as
//! descriptors 3 and 4 and says on descriptor 5 that it is ready. It ends when both streams are closed, not when it is asked
//! to: on a termination signal it empties the pipes first.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};

use super::line::Splitter;
use super::rotate::Rotating;
use super::{LogSettings, Stream};

/// How long after a termination signal a stream may stay open.
const DRAIN: Duration = Duration::from_secs(3);
const MAX_SETTINGS: u64 = 64 * 1024;

/// Why a log is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// A file, pipe or signal could not be used.
    #[error("{what}")]
    Io {
        /// Which.
        what: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The settings file is not what the runtime wrote.
    #[error("settings of the log {path}: {reason}")]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Returns when nobody writes the log in this folder any more, at the latest after the time a writer takes to end.
pub(crate) async fn finished(folder: PathBuf) {
    let wait = tokio::task::spawn_blocking(move || {
        let folder = std::fs::File::open(folder)?;
        rustix::fs::flock(&folder, FlockOperation::LockShared)?;
        io::Result::Ok(())
    });
    // A log that is short of its last lines is better than an exit nobody hears of.
    let _ = tokio::time::timeout(DRAIN, wait).await;
}

/// Writes the log of one container until its streams are closed. `settings` is the file named by the one argument the shim
/// passes after `log-writer`.
pub fn write_until_closed(settings: &Path) -> Result<(), WriterError> {
    let settings = read_settings(settings)?;
    // Held while lines may still come; who has it after an exit finds the log whole.
    let folder = std::fs::File::open(&settings.folder).map_err(io_error("log folder"))?;
    let _ = rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive);
    let mut log = Rotating::open(settings).map_err(io_error("log file"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io_error("runtime"))?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(io_error("signal"))?;
        // The descriptors were opened by the shim; opening them again by name needs no unsafe code.
        let stdout = open_pipe(3)?;
        let stderr = open_pipe(4)?;
        say_ready().map_err(io_error("descriptor 5"))?;
        let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
        tokio::spawn(pump(stdout, Stream::Stdout, sender.clone()));
        tokio::spawn(pump(stderr, Stream::Stderr, sender));
        let mut out = Splitter::new(Stream::Stdout);
        let mut err = Splitter::new(Stream::Stderr);
        let mut deadline: Option<tokio::time::Instant> = None;
        loop {
            let end = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                chunk = receiver.recv() => match chunk {
                    Some((Stream::Stdout, bytes)) => append(&mut log, out.push(&bytes, now())),
                    Some((Stream::Stderr, bytes)) => append(&mut log, err.push(&bytes, now())),
                    None => break,
                },
                _ = terminate.recv() => deadline = Some(tokio::time::Instant::now() + DRAIN),
                () = end => break,
            }
        }
        append(&mut log, out.finish(now()));
        append(&mut log, err.finish(now()));
        Ok(())
    })
}

async fn pump(
    mut pipe: pipe::Receiver,
    stream: Stream,
    sender: tokio::sync::mpsc::Sender<(Stream, Vec<u8>)>,
) {
    let mut buffer = vec![0_u8; 32 * 1024];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                if sender.send((stream, bytes)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn append(log: &mut Rotating, lines: impl IntoIterator<Item = super::LogLine>) {
    for line in lines {
        // A full disk must not stop the container: its pipe would fill and block it. The lines are lost instead.
        let _ = log.append(&line.encode());
    }
}

fn open_pipe(descriptor: u32) -> Result<pipe::Receiver, WriterError> {
    let path = format!("/proc/self/fd/{descriptor}");
    pipe::OpenOptions::new()
        .open_receiver(&path)
        .map_err(io_error(&path))
}

fn say_ready() -> io::Result<()> {
    // The shim waits for one byte or the end of the stream.
    let mut ready = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(0)
        .open("/proc/self/fd/5")?;
    ready.write_all(b"\n")
}

fn read_settings(path: &Path) -> Result<LogSettings, WriterError> {
    let wrong = |reason: String| WriterError::Settings {
        path: path.to_owned(),
        reason,
    };
    let length = std::fs::metadata(path).map_err(io_error("settings"))?.len();
    if length > MAX_SETTINGS {
        return Err(wrong(format!("{length} bytes, expected at most {MAX_SETTINGS}")));
    }
    let bytes = std::fs::read(path).map_err(io_error("settings"))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> WriterError {
    let what = what.to_owned();
    move |source| WriterError::Io { what, source }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
