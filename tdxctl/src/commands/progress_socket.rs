//! Reports of `setup` to whoever listens at a unix socket: a line of JSON each, the same as `progress.json`.
//!
//! Who listens is the host's side, so nothing it does may hold up a boot: a reader that is gone or does not read is given up, and
//! nothing is ever read from it.

use guest_files::Progress;
use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long a reader may leave one line standing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The socket, until it fails.
pub(super) struct ProgressSocket(Mutex<Option<UnixStream>>);

impl ProgressSocket {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        // G8: a host that stops reading must not stop the boot.
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(Mutex::new(Some(stream))))
    }

    /// Sends a report; gives the reader up when it cannot be sent whole.
    pub(super) fn send(&self, progress: &Progress) {
        let mut line = serde_json::to_vec(progress).unwrap_or_default();
        line.push(b'\n');
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One call: a reader that takes a byte a second would draw a loop of them out without end.
        if let Some(mut stream) = held.take()
            && stream.write(&line).is_ok_and(|sent| sent == line.len())
        {
            *held = Some(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use guest_files::StageState;
    use kms_types::UnixTime;
    use std::{
        io::{BufRead, BufReader},
        os::unix::net::UnixListener,
        time::Instant,
    };

    fn report(message: String) -> Progress {
        Progress {
            stage: "keys".to_owned(),
            state: StageState::Running,
            message,
            kind: None,
            advice: String::new(),
            time: UnixTime(7),
        }
    }

    #[test]
    fn reports_arrive_a_line_each_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let socket = ProgressSocket::connect(&path).unwrap();
        let (reader, _) = listener.accept().unwrap();
        socket.send(&report("one\ntwo".to_owned()));
        socket.send(&report("three".to_owned()));
        drop(socket);
        let lines: Vec<Progress> = BufReader::new(reader)
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        let messages: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(messages, ["one\ntwo", "three"]);
    }

    #[test]
    fn g8_a_reader_that_is_gone_or_does_not_read_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress.sock");
        assert!(ProgressSocket::connect(&path).is_err(), "nobody listens");
        let listener = UnixListener::bind(&path).unwrap();
        let socket = ProgressSocket::connect(&path).unwrap();
        drop(listener.accept().unwrap());
        socket.send(&report("one".to_owned()));
        socket.send(&report("two".to_owned()));
        let socket = ProgressSocket::connect(&path).unwrap();
        let _deaf = listener.accept().unwrap();
        let (begun, long) = (Instant::now(), "x".repeat(64 * 1024));
        for _ in 0..100 {
            socket.send(&report(long.clone()));
        }
        assert!(begun.elapsed() < PATIENCE * 20, "{:?}", begun.elapsed());
        assert!(socket.0.lock().unwrap().is_none(), "given up");
    }
}
