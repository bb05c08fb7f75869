//! A tree of named pipes that behaves as the TDX guest driver does towards one client.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use td_quote::{ConfigfsTd, Entries, TsmPaths};

/// Makes a named pipe.
pub(crate) fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Puts a fresh pipe in the place of one that has just been opened by both sides: what is opened next is another one, so that
/// two reads in a row are never served by one.
fn renew(path: &Path) {
    let fresh = path.with_extension("fresh");
    pipe(&fresh);
    fs::rename(fresh, path).unwrap();
}

/// Reads what the client writes until it closes.
fn take(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path).unwrap();
    renew(path);
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Gives the client `bytes` to read. A client that stops early is its own business.
fn give(path: &Path, bytes: &[u8]) {
    let Ok(mut file) = fs::OpenOptions::new().write(true).open(path) else {
        return;
    };
    if path.exists() {
        renew(path);
    }
    let _ = file.write_all(bytes);
}

/// What the driver says to one request for a report.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) generations: [&'static [u8]; 2],
    pub(crate) outblob: Vec<u8>,
}

/// What the driver says; the last attempt for ever.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) provider: &'static [u8],
    pub(crate) attempts: Vec<Attempt>,
    /// How often reading the report fails with EBUSY first.
    pub(crate) busy: usize,
    /// What making an entry fails with.
    pub(crate) refuse: Option<i32>,
    /// How many names are taken.
    pub(crate) taken: usize,
}

impl Default for Attempt {
    fn default() -> Self {
        Self {
            generations: [b"0\n", b"1\n"],
            outblob: b"a quote".to_vec(),
        }
    }
}

impl Default for Script {
    fn default() -> Self {
        Self {
            provider: b"tdx_guest\n",
            attempts: vec![Attempt::default()],
            busy: 0,
            refuse: None,
            taken: 0,
        }
    }
}

/// Entries of a tree of pipes; keeps what was written to `inblob`, and which entries were made.
#[derive(Clone, Default)]
pub(crate) struct Pipes {
    pub(crate) script: Script,
    pub(crate) inblob: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(crate) made: Arc<Mutex<Vec<PathBuf>>>,
    pub(crate) busy: Arc<AtomicUsize>,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Entries for Pipes {
    fn make(&self, entry: &Path) -> io::Result<()> {
        if let Some(errno) = self.script.refuse {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if self.asked.fetch_add(1, Ordering::SeqCst) < self.script.taken {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::create_dir(entry)?;
        for name in ["provider", "generation", "inblob", "outblob"] {
            pipe(&entry.join(name));
        }
        self.made.lock().unwrap().push(entry.to_owned());
        let (entry, script, inblob) = (entry.to_owned(), self.script.clone(), self.inblob.clone());
        let busy = script.busy;
        // Ends with the test; a client that leaves early leaves it waiting at a pipe.
        std::thread::spawn(move || {
            give(&entry.join("provider"), script.provider);
            let last = script.attempts.last().unwrap();
            // A busy kernel was asked, and gave nothing.
            for _ in 0..busy {
                give(&entry.join("generation"), b"0\n");
                inblob.lock().unwrap().push(take(&entry.join("inblob")));
            }
            for attempt in script.attempts.iter().chain(std::iter::repeat(last)) {
                give(&entry.join("generation"), attempt.generations[0]);
                if !entry.exists() {
                    break;
                }
                let written = take(&entry.join("inblob"));
                inblob.lock().unwrap().push(written);
                give(&entry.join("outblob"), &attempt.outblob);
                give(&entry.join("generation"), attempt.generations[1]);
            }
        });
        Ok(())
    }

    fn open(&self, attribute: &Path) -> io::Result<fs::File> {
        if attribute.ends_with("outblob") && self.busy.fetch_add(1, Ordering::SeqCst) < self.script.busy {
            const EBUSY: i32 = 16;
            return Err(io::Error::from_raw_os_error(EBUSY));
        }
        fs::File::open(attribute)
    }

    fn remove(&self, entry: &Path) -> io::Result<()> {
        fs::remove_dir_all(entry)
    }
}

pub(crate) fn paths(folder: &Path) -> TsmPaths {
    TsmPaths {
        reports: folder.join("report"),
        measurements: folder.to_owned(),
        event_log: folder.join("log.jsonl"),
    }
}

pub(crate) fn rtmr3(folder: &Path) -> PathBuf {
    folder.join("rtmr3:sha384")
}

pub(crate) fn td(folder: &Path, pipes: &Pipes) -> ConfigfsTd {
    let paths = paths(folder);
    fs::create_dir_all(&paths.reports).unwrap();
    ConfigfsTd::with_entries(paths, Box::new(pipes.clone()))
}
