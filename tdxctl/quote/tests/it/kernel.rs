//! A tree of named pipes that behaves as the TDX guest driver does towards one client.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};
use td_quote::{ConfigfsTd, Entries, TsmPaths};

/// Makes a named pipe.
pub(crate) fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Reads what the client writes until it closes.
pub(crate) fn take(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Gives the client `bytes` to read. A client that stops early is its own business.
pub(crate) fn give(path: &Path, bytes: &[u8]) {
    let _ = fs::write(path, bytes);
}

/// What the driver says to one request.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) provider: &'static [u8],
    pub(crate) generations: [&'static [u8]; 2],
    pub(crate) outblob: Vec<u8>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            provider: b"tdx_guest\n",
            generations: [b"0\n", b"1\n"],
            outblob: b"a quote".to_vec(),
        }
    }
}

/// Entries of a tree of pipes; keeps what was written to `inblob`, and which entries were made.
#[derive(Clone, Default)]
pub(crate) struct Pipes {
    pub(crate) script: Script,
    pub(crate) inblob: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(crate) made: Arc<Mutex<Vec<PathBuf>>>,
}

impl Entries for Pipes {
    fn make(&self, entry: &Path) -> io::Result<()> {
        fs::create_dir(entry)?;
        for name in ["provider", "generation", "inblob", "outblob"] {
            pipe(&entry.join(name));
        }
        self.made.lock().unwrap().push(entry.to_owned());
        let (entry, script, inblob) = (entry.to_owned(), self.script.clone(), self.inblob.clone());
        // Ends with the test; a client that leaves early leaves it waiting at a pipe.
        std::thread::spawn(move || {
            give(&entry.join("provider"), script.provider);
            give(&entry.join("generation"), script.generations[0]);
            let written = take(&entry.join("inblob"));
            inblob.lock().unwrap().push(written);
            give(&entry.join("outblob"), &script.outblob);
            give(&entry.join("generation"), script.generations[1]);
        });
        Ok(())
    }

    fn remove(&self, entry: &Path) -> io::Result<()> {
        fs::remove_dir_all(entry)
    }
}

pub(crate) fn paths(folder: &Path) -> TsmPaths {
    TsmPaths {
        reports: folder.join("report"),
        rtmr3: folder.join("rtmr3:sha384"),
        event_log: folder.join("log.jsonl"),
    }
}

pub(crate) fn td(folder: &Path, pipes: &Pipes) -> ConfigfsTd {
    let paths = paths(folder);
    fs::create_dir_all(&paths.reports).unwrap();
    ConfigfsTd::with_entries(paths, Box::new(pipes.clone()))
}
