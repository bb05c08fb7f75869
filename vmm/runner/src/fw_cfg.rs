//! Tables and settings as the unmodified QEMU makes them for a VM: it is started with the VM's own devices, its processors stopped, and
//! its fw_cfg files are read over the qtest protocol (QEMU, docs/devel/testing/qtest; docs/specs/fw_cfg). Tables a host invents match none of
//! these. Answers are bounded in size and time; QEMU is killed in every case.

use crate::{Image, Places, RunnerError, ToolRoot, VmConfig, arguments, tools::MACHINE};
use std::{
    ffi::OsString,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};
use td_measure::{BOOT_MENU, FwCfgDigests, MeasuredEvent, SETTINGS, Setting, measured_smbios, sha384};

const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);
/// Bytes of one file; QEMU pads the tables to 128 KiB.
const MAX_FILE: u32 = 4 << 20;
const MAX_FILES: u32 = 256;
/// Entry of the directory: size, selector, reserved, name (docs/specs/fw_cfg, all big-endian).
const ENTRY: u32 = 64;
const DIRECTORY: u16 = 0x19;
/// I/O ports of the DMA address, high and low half.
const DMA: [u16; 2] = [0x514, 0x518];
/// Guest memory nobody uses while the processors stand: the request, and where its answer goes.
const REQUEST: u64 = 0x1000;
const BUFFER: u64 = 0x10_0000;
/// Bytes read from the guest's memory at once.
const PIECE: u32 = 64 << 10;

/// The files of a VM that RTMR0 covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwCfg {
    /// `etc/table-loader`.
    pub loader: Vec<u8>,
    /// `etc/acpi/rsdp`.
    pub rsdp: Vec<u8>,
    /// `etc/acpi/tables`.
    pub tables: Vec<u8>,
    /// `etc/smbios/smbios-tables`.
    pub smbios: Vec<u8>,
    /// Name of the event and content of each measured setting that is there.
    pub settings: Vec<(&'static str, Vec<u8>)>,
}

impl FwCfg {
    /// Asks QEMU for what it hands the firmware of a VM.
    ///
    /// # Errors
    /// When QEMU does not start or does not give it.
    pub fn read(tools: &ToolRoot, image: &Image, config: &VmConfig) -> Result<Self, RunnerError> {
        Self::read_as(tools, image, config, MACHINE)
    }

    /// The same of another machine type.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub fn read_as(
        tools: &ToolRoot,
        image: &Image,
        config: &VmConfig,
        machine: &str,
    ) -> Result<Self, RunnerError> {
        let folder = tempfile::tempdir().map_err(RunnerError::io(Path::new("temporary folder")))?;
        let socket = folder.path().join("qtest.sock");
        let listener = UnixListener::bind(&socket).map_err(RunnerError::io(&socket))?;
        let disk = |name: &str| -> Result<_, RunnerError> {
            let path = folder.path().join(name);
            let made = File::create(&path).and_then(|file| file.set_len(1 << 20));
            made.map_err(RunnerError::io(&path))?;
            Ok(path)
        };
        let places = Places {
            host: disk("host")?,
            data: disk("data")?,
            console: socket.clone(),
            progress: socket.clone(),
            monitor: socket.clone(),
            td: socket.clone(),
        };
        let mut command = tools.qemu(quiet(arguments(image, config, &places)?, &socket, machine));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(RunnerError::io(tools.folder()))?;
        let mut qemu = Killed(child);
        let stream = accept(&listener, &mut qemu.0)?;
        let mut files = Qtest::new(stream)?;
        let directory = files.directory()?;
        let mut file = |name: &str| {
            let found = directory.iter().find(|entry| entry.name == name);
            let entry = found.ok_or_else(|| refused(&format!("the file {name}"), "none of that name"))?;
            files.read(entry.selector, entry.size)
        };
        let (loader, rsdp, tables) = (
            file("etc/table-loader")?,
            file("etc/acpi/rsdp")?,
            file("etc/acpi/tables")?,
        );
        let smbios = file("etc/smbios/smbios-tables")?;
        let mut settings = Vec::new();
        for setting in SETTINGS {
            if let Some((selector, size)) = place(&setting, &directory) {
                settings.push((setting.event, files.read(selector, size)?));
            }
        }
        Ok(Self {
            loader,
            rsdp,
            tables,
            smbios,
            settings,
        })
    }

    /// What the firmware measures of them.
    ///
    /// # Errors
    /// When QEMU's SMBIOS structures are none.
    pub fn digests(&self) -> Result<FwCfgDigests, RunnerError> {
        let smbios = measured_smbios(&self.smbios)
            .map_err(|error| refused("SMBIOS structures of a VM", &error.to_string()))?;
        let settings = self.settings.iter();
        Ok(FwCfgDigests {
            settings: settings
                .map(|(name, data)| MeasuredEvent {
                    name,
                    digest: sha384(data),
                })
                .collect(),
            loader: sha384(&self.loader),
            rsdp: sha384(&self.rsdp),
            tables: sha384(&self.tables),
            smbios: sha384(&smbios),
        })
    }
}

/// The VM's words with nobody at the other ends, its processors stopped, and a place to ask at.
fn quiet(words: Vec<OsString>, socket: &Path, machine: &str) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::with_capacity(words.len() + 3);
    let mut chardev = false;
    for word in words {
        let text = word.to_string_lossy().into_owned();
        let id = text
            .strip_prefix("socket,")
            .and_then(|rest| rest.split(',').next());
        match id.filter(|_| chardev) {
            Some(id) => all.push(format!("null,{id}").into()),
            // Nothing runs, so no memory is needed: a small machine can measure a large VM.
            None if text.starts_with("memory-backend-ram,") => all.push(format!("{text},reserve=off").into()),
            None => match text.strip_prefix(MACHINE) {
                Some(switches) => all.push(format!("{machine}{switches}").into()),
                None => all.push(word),
            },
        }
        chardev = text == "-chardev";
    }
    // The log of the protocol would fill the pipe of QEMU's last words.
    all.extend(["-S", "-qtest-log", "/dev/null", "-qtest"].map(OsString::from));
    all.push(format!("unix:{}", socket.display()).into());
    all
}

/// Selector and size of a setting the firmware would take; it passes over what is empty or of another size.
fn place(setting: &Setting, directory: &[Entry]) -> Option<(u16, u32)> {
    let (selector, size) = match setting.file {
        None => (BOOT_MENU, setting.size?),
        Some(name) => {
            let entry = directory.iter().find(|entry| entry.name == name)?;
            (entry.selector, entry.size)
        }
    };
    let taken = size != 0 && setting.size.is_none_or(|fixed| fixed == size);
    taken.then_some((selector, size))
}

/// Gone with the value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn refused(expected: &str, actual: &str) -> RunnerError {
    RunnerError::Qtest {
        expected: expected.to_owned(),
        actual: actual.chars().take(200).collect(),
    }
}

fn accept(listener: &UnixListener, qemu: &mut Child) -> Result<UnixStream, RunnerError> {
    let io = RunnerError::io(Path::new("qtest"));
    listener.set_nonblocking(true).map_err(io)?;
    let end = Instant::now() + DEADLINE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(RunnerError::io(Path::new("qtest"))(error)),
        }
        if let Ok(Some(status)) = qemu.try_wait() {
            let mut words = String::new();
            if let Some(stderr) = qemu.stderr.take() {
                let _ = stderr.take(4096).read_to_string(&mut words);
            }
            return Err(refused("QEMU to ask", &format!("{status}: {}", words.trim())));
        }
        if Instant::now() > end {
            return Err(refused("QEMU to ask", "no connection in time"));
        }
        std::thread::park_timeout(PAUSE);
    }
}

struct Entry {
    name: String,
    selector: u16,
    size: u32,
}

/// A conversation: one line a command, one line an answer.
struct Qtest {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Qtest {
    fn new(stream: UnixStream) -> Result<Self, RunnerError> {
        let prepared = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(DEADLINE)))
            .and_then(|()| stream.set_write_timeout(Some(DEADLINE)))
            .and_then(|()| stream.try_clone());
        let writer = prepared.map_err(RunnerError::io(Path::new("qtest")))?;
        Ok(Self {
            reader: BufReader::new(stream),
            writer,
        })
    }

    fn ask(&mut self, command: &str) -> Result<String, RunnerError> {
        let io = || RunnerError::io(Path::new("qtest"));
        self.writer
            .write_all(format!("{command}\n").as_bytes())
            .map_err(io())?;
        loop {
            let mut line = String::new();
            let limit = u64::from(2 * PIECE) + 64;
            (&mut self.reader)
                .take(limit)
                .read_line(&mut line)
                .map_err(io())?;
            let line = line.trim_end();
            match line.strip_prefix("OK") {
                Some(answer) => return Ok(answer.trim_start().to_owned()),
                // What interrupts did meanwhile is told unasked.
                None if line.starts_with("IRQ ") => {}
                None => return Err(refused("OK from qtest", line)),
            }
        }
    }

    fn directory(&mut self) -> Result<Vec<Entry>, RunnerError> {
        let count = self.read(DIRECTORY, 4)?;
        let count = count.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        if count > MAX_FILES {
            return Err(refused(
                &format!("at most {MAX_FILES} fw_cfg files"),
                &count.to_string(),
            ));
        }
        let bytes = self.read(DIRECTORY, 4 + count * ENTRY)?;
        let mut all = Vec::new();
        for entry in bytes.get(4..).unwrap_or_default().chunks_exact(ENTRY as usize) {
            let (Some((size, rest)), Some((selector, _))) = (
                entry.split_first_chunk::<4>(),
                entry.get(4..).unwrap_or_default().split_first_chunk::<2>(),
            ) else {
                continue;
            };
            let name = rest.get(4..).unwrap_or_default();
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            all.push(Entry {
                name: String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned(),
                selector: u16::from_be_bytes(*selector),
                size: u32::from_be_bytes(*size),
            });
        }
        Ok(all)
    }

    /// Reads the beginning of a file.
    fn read(&mut self, selector: u16, size: u32) -> Result<Vec<u8>, RunnerError> {
        if size > MAX_FILE {
            return Err(refused(
                &format!("a fw_cfg file of at most {MAX_FILE} bytes"),
                &size.to_string(),
            ));
        }
        // Select and read (docs/specs/fw_cfg, DMA interface).
        let control = u32::from(selector) << 16 | 0x08 | 0x02;
        let request = [
            &control.to_be_bytes()[..],
            &size.to_be_bytes(),
            &BUFFER.to_be_bytes(),
        ]
        .concat();
        self.ask(&format!(
            "write {REQUEST:#x} {:#x} 0x{}",
            request.len(),
            hex::encode(&request)
        ))?;
        let [high, low] = DMA;
        // The register is big-endian, the I/O port is not; writing the low half starts the transfer.
        self.ask(&format!("outl {high:#x} 0x0"))?;
        let address = u32::try_from(REQUEST).unwrap_or_default().swap_bytes();
        self.ask(&format!("outl {low:#x} {address:#x}"))?;
        let left = self.ask(&format!("read {REQUEST:#x} 0x4"))?;
        if left != "0x00000000" {
            return Err(refused("a finished transfer", &left));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        while bytes.len() < size as usize {
            let done = bytes.len() as u32;
            let piece = (size - done).min(PIECE);
            let answer = self.ask(&format!("read {:#x} {piece:#x}", BUFFER + u64::from(done)))?;
            let piece_bytes = answer
                .strip_prefix("0x")
                .and_then(|digits| hex::decode(digits).ok());
            match piece_bytes {
                Some(got) if got.len() == piece as usize => bytes.extend(got),
                _ => return Err(refused(&format!("{piece} bytes in hex"), &answer)),
            }
        }
        Ok(bytes)
    }
}
