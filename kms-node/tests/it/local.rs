//! `kms-node local` as a program: where its sealing secret lives, with a real TPM emulator (swtpm) and without.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A TPM of its own, empty at first.
struct Tpm {
    child: Child,
    tcti: String,
    _state: TempDir,
}

impl Tpm {
    fn new() -> Self {
        let state = TempDir::new().unwrap();
        // The TCTI finds the control channel at the next port.
        let port = (0..100)
            .find_map(|_| {
                let first = TcpListener::bind("127.0.0.1:0").ok()?;
                let port = first.local_addr().ok()?.port();
                TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
                Some(port)
            })
            .unwrap();
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state.path().display()))
            .args(["--server", &format!("type=tcp,port={port}")])
            .args(["--ctrl", &format!("type=tcp,port={}", port + 1)])
            .stdout(Stdio::null())
            .spawn()
            .expect("swtpm is installed");
        let tpm = Self {
            child,
            tcti: format!("swtpm:host=127.0.0.1,port={port}"),
            _state: state,
        };
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port + 1)).is_err() {
            assert!(Instant::now() < end, "swtpm does not listen");
            std::thread::yield_now();
        }
        tpm
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a configuration.
fn folder(sealing: &str, tcti: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        "[local]\nlisten = \"127.0.0.1:0\"\nsealing = \"{sealing}\"\ntpm = \"{tcti}\"\nroot_file = \"{}\"\nkeyfile = \"{}\"\n[collateral]\ncache_dir = \"{}\"\n[database]\nurl = \"sqlite:{}?mode=rwc\"\n",
        path("root"),
        path("key"),
        path("collateral"),
        path("local.db"),
    );
    fs::write(folder.path().join("config.toml"), text).unwrap();
    folder
}

/// Starts it: its address, or its exit status and words.
fn start(folder: &Path, create: bool) -> Result<String, (i32, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kms-node"));
    command
        .arg("--config")
        .arg(folder.join("config.toml"))
        .arg("local");
    if create {
        command.arg("--create");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    if let Ok(ready) = serde_json::from_str::<Value>(&line) {
        assert_eq!(ready["ready"], true);
        child.kill().unwrap();
        child.wait().unwrap();
        return Ok(ready["address"].as_str().unwrap().to_owned());
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    Err((child.wait().unwrap().code().unwrap(), said))
}

fn refused(outcome: Result<String, (i32, String)>, words: &str) {
    let (code, said) = outcome.expect_err("no provider starts");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(words), "expected {words:?}: {said}");
}

#[test]
fn k4_a_secret_in_a_tpm_opens_with_that_tpm_alone() {
    let (tpm, other) = (Tpm::new(), Tpm::new());
    let home = folder("tpm", &tpm.tcti);
    refused(start(home.path(), false), "root");
    start(home.path(), true).unwrap();
    let sealed = fs::read(home.path().join("root")).unwrap();
    let mode = fs::metadata(home.path().join("root"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Killed and started again it has its secret; a second one is never made over it.
    start(home.path(), false).unwrap();
    refused(start(home.path(), true), "never overwritten");
    assert_eq!(fs::read(home.path().join("root")).unwrap(), sealed);
    // The same file beside another TPM.
    let stolen = folder("tpm", &other.tcti);
    fs::copy(home.path().join("root"), stolen.path().join("root")).unwrap();
    refused(start(stolen.path(), false), "tpm2_load");
    for at in [0, 25, sealed.len() / 2, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        fs::write(home.path().join("root"), changed).unwrap();
        start(home.path(), false).unwrap_err();
    }
    fs::write(home.path().join("root"), &sealed).unwrap();
    start(home.path(), false).unwrap();
}

#[test]
fn k4_without_a_tpm_nothing_is_kept_in_a_file_unasked() {
    let home = folder("tpm", "device:/nonexistent/tpm");
    refused(start(home.path(), true), "set local.sealing to \"file\"");
    assert!(!home.path().join("root").exists());
    let asked = folder("file", "");
    refused(start(asked.path(), true), "key");
    let key = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(asked.path().join("key"));
    std::io::Write::write_all(&mut key.unwrap(), &[3; 32]).unwrap();
    start(asked.path(), true).unwrap();
    start(asked.path(), false).unwrap();
}
