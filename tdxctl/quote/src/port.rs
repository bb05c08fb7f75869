//! Client of a simulated TD at a virtio-serial port: inside a development VM, whose software TD runs beside QEMU. A port has one
//! opener and one stream, so it stays open and questions wait for each other. Nobody at the other end is an error after a deadline.

use crate::{
    TdError,
    message::{Answer, Request, receive, send},
    simulated::{Link, Simulated, answered},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const PORTS: &str = "/sys/class/virtio-ports";
const TIMEOUT: Duration = Duration::from_secs(20);
/// Between looks at a port nobody is connected to: poll returns at once for one, so there is nothing to wait on.
const PAUSE: Duration = Duration::from_millis(20);
const MAX_NAME: usize = 256;

/// A simulated TD behind a virtio-serial port.
pub type PortTd = Simulated<PortLink>;

/// The way to it.
#[derive(Debug)]
pub struct PortLink {
    path: PathBuf,
    file: Mutex<File>,
}

impl PortTd {
    /// A client of the port with this name.
    ///
    /// # Errors
    /// When there is no such port, or another process has it open.
    pub fn open(name: &str) -> Result<Self, TdError> {
        let path = device(Path::new(PORTS), name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(TdError::io(&path))?;
        Ok(Simulated(PortLink {
            path,
            file: Mutex::new(file),
        }))
    }
}

/// The device of a port: the kernel has each port's name in a file below `ports`.
fn device(ports: &Path, name: &str) -> Result<PathBuf, TdError> {
    for entry in fs::read_dir(ports).map_err(TdError::io(ports))? {
        let entry = entry.map_err(TdError::io(ports))?;
        let file = entry.path().join("name");
        let mut text = String::new();
        let read = File::open(&file).and_then(|file| file.take(MAX_NAME as u64).read_to_string(&mut text));
        if read.is_ok() && text.trim_end() == name {
            return Ok(Path::new("/dev").join(entry.file_name()));
        }
    }
    Err(TdError::Io {
        path: format!("virtio-serial port {name}"),
        source: io::ErrorKind::NotFound.into(),
    })
}

impl Link for PortLink {
    fn ask(&self, request: &Request) -> Result<Answer, TdError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut port = Waiting {
            file: &file,
            end: Instant::now() + TIMEOUT,
        };
        // An answer to a question whose asker was gone before it came.
        port.drain().map_err(TdError::io(&self.path))?;
        send(&mut port, &self.path, request)?;
        answered(receive(&mut BufReader::new(port), &self.path)?)
    }
}

/// A port, and until when it is waited for.
struct Waiting<'a> {
    file: &'a File,
    end: Instant,
}

impl Waiting<'_> {
    fn drain(&mut self) -> io::Result<()> {
        let mut waste = [0; 4096];
        while ready(self.file, PollFlags::IN, Duration::ZERO)? == Some(PollFlags::IN) {
            if (&mut &*self.file).read(&mut waste)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Returns when the port can be read or written.
    fn wait(&self, wanted: PollFlags) -> io::Result<()> {
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the software TD outside of this VM does not answer",
                ));
            }
            match ready(self.file, wanted, left)? {
                Some(flags) if flags.contains(wanted) => return Ok(()),
                // Hung up: nobody is connected, or not again yet.
                _ => std::thread::park_timeout(PAUSE),
            }
        }
    }
}

fn ready(file: &File, wanted: PollFlags, limit: Duration) -> io::Result<Option<PollFlags>> {
    let mut polled = [PollFd::new(file, wanted)];
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    let count = poll(&mut polled, Some(&limit))?;
    Ok(polled
        .first()
        .filter(|_| count > 0)
        .map(|polled| polled.revents()))
}

impl io::Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait(PollFlags::IN)?;
            // Nothing to read means that the other end is being connected again.
            match (&mut &*self.file).read(buffer)? {
                0 if !buffer.is_empty() => std::thread::park_timeout(PAUSE),
                count => return Ok(count),
            }
        }
    }
}

impl io::Write for Waiting<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.wait(PollFlags::OUT)?;
        (&mut &*self.file).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Td;
    use std::{io::Write, os::fd::OwnedFd, os::unix::net::UnixStream};

    #[test]
    fn an_answer_nobody_waited_for_is_not_taken_for_the_next() {
        let (guest, mut host) = UnixStream::pair().unwrap();
        // What the TD said to a process that was killed before it read it.
        send(
            &mut host,
            Path::new("test"),
            &Answer::Error {
                message: "late".into(),
            },
        )
        .unwrap();
        let td = Simulated(PortLink {
            path: "test".into(),
            file: Mutex::new(File::from(OwnedFd::from(guest))),
        });
        let answering = std::thread::spawn(move || {
            let mut reader = BufReader::new(host.try_clone().unwrap());
            let asked = receive::<Request>(&mut reader, Path::new("test")).unwrap();
            assert!(matches!(asked, Some(Request::EventLog)));
            host.write_all(b"{").unwrap();
            // The rest comes later: a port gives what there is.
            std::thread::yield_now();
            let mut rest = serde_json::to_vec(&Answer::EventLog(Vec::new())).unwrap();
            rest.push(b'\n');
            host.write_all(rest.get(1..).unwrap()).unwrap();
            host
        });
        assert_eq!(td.event_log().unwrap(), Vec::new());
        drop(answering.join().unwrap());
    }

    #[test]
    fn a_port_is_found_by_its_name_and_no_other() {
        let ports = tempfile::tempdir().unwrap();
        for (port, name) in [
            ("vport1p1", "org.kedge.td.setup\n"),
            ("vport1p2", "org.kedge.td.setup.x\n"),
        ] {
            fs::create_dir(ports.path().join(port)).unwrap();
            fs::write(ports.path().join(port).join("name"), name).unwrap();
        }
        let found = device(ports.path(), "org.kedge.td.setup").unwrap();
        assert_eq!(found, Path::new("/dev/vport1p1"));
        let missing = device(ports.path(), "org.kedge.td").unwrap_err();
        assert!(missing.to_string().contains("org.kedge.td"), "{missing}");
    }
}
