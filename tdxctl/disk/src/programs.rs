//! `cryptsetup`, `mke2fs` and `resize2fs`, started with nothing of this process's environment. The key goes through standard input only.

use crate::DiskError;
use crate::layout::{DATA, KEYSLOTS, METADATA, SECTOR};
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const MAX_WORDS: usize = 500;

pub(crate) fn format(device: &Path, header: &Path, key: &[u8; 64]) -> Result<(), DiskError> {
    let offset = (DATA / SECTOR as u64).to_string();
    let metadata = format!("{}k", METADATA >> 10);
    let keyslots = format!("{}k", KEYSLOTS >> 10);
    let words = [
        "luksFormat",
        "--batch-mode",
        "--type",
        "luks2",
        "--offset",
        &offset,
        "--luks2-metadata-size",
        &metadata,
        "--luks2-keyslots-size",
        &keyslots,
        "--cipher",
        "aes-xts-plain64",
        "--key-size",
        "512",
        "--integrity",
        // Tags of sectors that were never written do not hold; a file system reads what it wrote.
        "hmac-sha256",
        "--integrity-no-wipe",
        "--sector-size",
        "4096",
        "--hash",
        "sha256",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
        "--key-slot",
        "0",
    ];
    cryptsetup(&words, device, header, key, &[])
}

pub(crate) fn open(device: &Path, header: &Path, key: &[u8; 64], name: &str) -> Result<(), DiskError> {
    let words = [
        "open",
        "--type",
        "luks2",
        "--key-slot",
        "0",
        "--perf-no_read_workqueue",
        "--perf-no_write_workqueue",
    ];
    cryptsetup(&words, device, header, key, &[name])
}

pub(crate) fn close(name: &str) -> Result<(), DiskError> {
    run("cryptsetup", &["close", name].map(OsStr::new), None)
}

pub(crate) fn make_file_system(device: &Path) -> Result<(), DiskError> {
    // The journal is read before it is written over: it must have been written once. Inode tables are marked unused instead.
    let words = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-m",
        "1",
        "-b",
        "4096",
        // The kernel grows no file system with sparse_super2. With metadata_csum it reads bitmaps of new groups it never wrote; here
        // every block has an HMAC anyway.
        "-O",
        "^sparse_super2,resize_inode,^metadata_csum_seed,^metadata_csum,uninit_bg",
        "-E",
        "nodiscard,lazy_itable_init=1,lazy_journal_init=0",
    ];
    let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    arguments.push(device.as_os_str());
    run("mke2fs", &arguments, None)
}

/// The kernel does it, in its journal: the file system is mounted.
pub(crate) fn grow_file_system(device: &Path) -> Result<(), DiskError> {
    run("resize2fs", &[device.as_os_str()], None)
}

fn cryptsetup(
    words: &[&str],
    device: &Path,
    header: &Path,
    key: &[u8; 64],
    after: &[&str],
) -> Result<(), DiskError> {
    let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    arguments.extend(
        [
            "--disable-locks",
            "--key-file",
            "-",
            "--keyfile-size",
            "64",
            "--header",
        ]
        .map(OsStr::new),
    );
    arguments.push(header.as_os_str());
    arguments.push(device.as_os_str());
    arguments.extend(after.iter().map(OsStr::new));
    run("cryptsetup", &arguments, Some(key))
}

fn run(program: &'static str, arguments: &[&OsStr], key: Option<&[u8; 64]>) -> Result<(), DiskError> {
    let failed = |message: String| DiskError::Program { program, message };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        // There is no udev in the guest: libdevmapper makes the nodes itself.
        .env("DM_DISABLE_UDEV", "1")
        .stdin(if key.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let (Some(key), Some(mut pipe)) = (key, child.stdin.take()) {
        // One that ended before it read says why below.
        let _ = pipe.write_all(key);
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!(
        "{}: {}",
        output.status,
        words.trim().chars().take(MAX_WORDS).collect::<String>()
    )))
}
