//! Reports of `setup` to the host, through a virtio-serial port of the VM: a line of JSON each, the same as `progress.json`.
//!
//! Who reads is the host, so nothing it does may hold up a boot: a report that cannot be handed over at once is dropped, a port that
//! took half a line is given up, and nothing is ever read from it.

use guest_files::Progress;
use rustix::fs::OFlags;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

const PORTS: &str = "/sys/class/virtio-ports";
const DEVICES: &str = "/dev";
const MAX_NAME: u64 = 256;

/// The port, until it fails.
pub(super) struct ProgressPort(Mutex<Option<File>>);

impl ProgressPort {
    /// Opens the port of this name.
    ///
    /// # Errors
    /// When there is none, or another process has it open.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        Self::open_below(Path::new(PORTS), Path::new(DEVICES), name)
    }

    fn open_below(ports: &Path, devices: &Path, name: &str) -> io::Result<Self> {
        for entry in fs::read_dir(ports)? {
            let entry = entry?;
            let mut text = String::new();
            let read = File::open(entry.path().join("name"))
                .and_then(|file| file.take(MAX_NAME).read_to_string(&mut text));
            if read.is_ok() && text.trim_end() == name {
                // G8: a host that stops reading must not stop the boot.
                let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
                let file = OpenOptions::new()
                    .write(true)
                    .custom_flags(flags)
                    .open(devices.join(entry.file_name()))?;
                return Ok(Self(Mutex::new(Some(file))));
            }
        }
        Err(ErrorKind::NotFound.into())
    }

    /// Sends a report, unless it cannot be taken at once.
    pub(super) fn send(&self, progress: &Progress) {
        let mut line = serde_json::to_vec(progress).unwrap_or_default();
        line.push(b'\n');
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(port) = held.as_mut() else { return };
        let mut left = line.as_slice();
        // The kernel takes 32 KiB at once.
        while !left.is_empty() {
            match port.write(left) {
                Ok(sent @ 1..) => left = left.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock && left.len() == line.len() => return,
                _ => {
                    *held = None;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use guest_files::StageState;
    use kms_types::UnixTime;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::time::{Duration, Instant};

    fn report(message: &str) -> Progress {
        Progress {
            stage: "keys".to_owned(),
            state: StageState::Running,
            message: message.to_owned(),
            kind: None,
            advice: String::new(),
            time: UnixTime(7),
        }
    }

    /// A pipe stands for the port: it has a writer that does not wait and a reader that may not read.
    fn port(folder: &Path) -> (ProgressPort, File) {
        for (port, name) in [("vport0p1", "org.other\n"), ("vport0p2", "org.kedge.progress\n")] {
            fs::create_dir_all(folder.join("ports").join(port)).unwrap();
            fs::write(folder.join("ports").join(port).join("name"), name).unwrap();
        }
        let device = folder.join("vport0p2");
        mknodat(CWD, &device, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let reader = OpenOptions::new().read(true).write(true).open(&device).unwrap();
        let port = ProgressPort::open_below(&folder.join("ports"), folder, "org.kedge.progress").unwrap();
        (port, reader)
    }

    #[test]
    fn reports_go_to_the_port_of_this_name() {
        let folder = tempfile::tempdir().unwrap();
        let (port, mut reader) = port(folder.path());
        port.send(&report("one\ntwo"));
        port.send(&report("three"));
        let mut bytes = vec![0; 4096];
        let count = reader.read(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(bytes.get(..count).unwrap()).into_owned();
        let messages: Vec<Progress> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let messages: Vec<&str> = messages.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(messages, ["one\ntwo", "three"]);
        let ports = folder.path().join("ports");
        assert!(ProgressPort::open_below(&ports, folder.path(), "org.kedge").is_err());
    }

    #[test]
    fn g8_a_host_that_does_not_read_the_port_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let (port, _deaf) = port(folder.path());
        let (begun, long) = (Instant::now(), "x".repeat(4096));
        for _ in 0..1000 {
            port.send(&report(&long));
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
