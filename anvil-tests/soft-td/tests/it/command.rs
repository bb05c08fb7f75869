//! The `soft-td` command as a user starts it: ready line, service, restart, end on SIGTERM.

use crate::{measurement, verify};
use kms_types::{AttestationRoot, ReportData, UnixTime};
use soft_td::{PlatformConfig, PlatformSeed, SoftPlatform};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

struct Running {
    child: Child,
    ready: serde_json::Value,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_soft-td"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            ready: serde_json::from_str(&line).expect(&line),
        }
    }

    /// Sends SIGTERM and waits for a clean end.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn pcs_and_td_are_one_platform_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (state, socket, boot) = (
        folder.path().join("state"),
        folder.path().join("td.sock"),
        folder.path().join("boot.json"),
    );
    let registers = serde_json::to_string(&measurement()).unwrap();
    std::fs::write(&boot, format!(r#"{{"measurement":{{"registers":{registers}}}}}"#)).unwrap();

    let pcs = Running::start(&["pcs", "--state", text(&state), "--listen", "127.0.0.1:0"]);
    let td_arguments = [
        "td",
        "--state",
        text(&state),
        "--socket",
        text(&socket),
        "--boot",
        text(&boot),
    ];
    let td = Running::start(&td_arguments);
    let root: AttestationRoot = serde_json::from_value(pcs.ready["attestation_root"].clone()).unwrap();
    assert_eq!(td.ready["attestation_root"], pcs.ready["attestation_root"]);
    assert!(
        pcs.ready["served"]["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );

    let now = UnixTime(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    );
    let platform = SoftPlatform::new(
        PlatformSeed::load_or_create(&state).unwrap(),
        PlatformConfig::default(),
    )
    .unwrap();
    assert_eq!(platform.root(), root);
    let quote = td_quote::open(&format!("socket:{}", socket.display()))
        .unwrap()
        .quote(&ReportData::ZERO)
        .unwrap();
    let published = serde_json::from_slice(&platform.collateral(now).unwrap().to_json().unwrap()).unwrap();
    dcap_qvl::verify::QuoteVerifier::new(platform.root_certificate().to_vec())
        .verify(&quote, &published, now.0)
        .unwrap();
    assert!(verify(&platform, &quote[..100], &published).is_err());

    td.stop();
    assert!(!socket.exists());
    let again = Running::start(&td_arguments);
    assert_eq!(again.ready["device_id"], pcs.ready["device_id"]);
    again.stop();
    pcs.stop();
}

#[test]
fn bad_boot_file_ends_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let boot = folder.path().join("boot.json");
    std::fs::write(&boot, "{}").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_soft-td"))
        .args([
            "td",
            "--state",
            text(folder.path()),
            "--socket",
            text(&folder.path().join("s")),
            "--boot",
            text(&boot),
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a boot file"));
    assert!(output.stdout.is_empty());
}
