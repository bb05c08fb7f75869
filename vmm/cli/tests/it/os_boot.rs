//! `kedge os boot`: what it refuses, and a VM from power-on to the button.

use crate::guest::{Guest, write_image};
use kms_types::ComposeHash;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use td_measure::Catalogue;
use vm_runner::{Accelerator, LoadedImage, Platform, Shape, VmConfig};

fn command(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kedge"));
    command
        .arg("--state")
        .arg(state)
        .args(["os", "boot"])
        .args(arguments);
    command
}

fn run(state: &Path, arguments: &[&str]) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(state, arguments).output().unwrap();
    let said = [stdout, stderr].concat();
    (
        status.code().unwrap(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn what_cannot_be_run_is_said_before_anything_runs() {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().to_str().unwrap();
    let tools = home.path().join("none");
    let tools = tools.to_str().unwrap();
    let parts = ["firmware", "kernel", "initrd", "rootfs"].map(|name| (name, vec![7; 8]));
    write_image(home.path(), "quiet", &parts).unwrap();

    let (code, said) = run(home.path(), &["--image", image, "--tools", tools]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("os-image tools"), "{said}");
    for (option, value, expected) in [
        ("--forward", "80", "HOST:GUEST"),
        ("--quotes", "tcp:1", "vsock:PORT or unix:PATH"),
        ("--platform", "sev", "sim-vm"),
    ] {
        let (code, said) = run(home.path(), &["--image", image, option, value]);
        assert_eq!(code, 2, "{option}: {said}");
        assert!(said.contains(expected), "{option}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_is_shown_from_power_on_to_the_button() {
    let guest = Guest::build("").await.unwrap();
    assert!(guest.image.is_development());
    let state = guest.path("state");
    let tools = guest.tools.folder().to_str().unwrap().to_owned();
    let image = guest.folder.path().to_str().unwrap().to_owned();
    let document = guest.path("host.json");
    std::fs::write(&document, r#"{"app_compose":"{}"}"#).unwrap();
    let common = ["--tools", &tools, "--image", &image, "--memory", "512"];

    let (code, said) = run(&state, &[&common[..], &["--platform", "tdx"]].concat());
    assert!(
        code == 1 && said.contains("expected a production image on tdx"),
        "{said}"
    );

    // A byte of a part of the image.
    let kernel = guest.path("kernel");
    let bytes = std::fs::read(&kernel).unwrap();
    let mut other = bytes.clone();
    other[4096] ^= 1;
    std::fs::write(&kernel, other).unwrap();
    let (code, said) = run(&state, &common);
    assert!(
        code == 3 && said.contains("image: kernel: expected SHA-256"),
        "{code}: {said}"
    );
    std::fs::write(&kernel, bytes).unwrap();

    // What it will measure to, as the network is told before.
    let catalogue = guest.path("catalogue.json");
    let measured = Command::new(env!("CARGO_BIN_EXE_kedge"))
        .args(["--json", "os", "measure", "--tools", &tools, "--image", &image])
        .args(["--vcpus", "1,2", "--memory", "512", "--catalogue"])
        .arg(&catalogue)
        .output()
        .unwrap();
    let measured: Value = serde_json::from_slice(&measured.stdout).unwrap();
    assert_eq!(measured["shapes"].as_array().unwrap().len(), 2, "{measured}");

    let mut child = command(&state, &common)
        .args(["--accel", "tcg", "--vcpus", "1", "--console", "--json"])
        .arg("--host-document")
        .arg(&document)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let end = Instant::now() + Duration::from_secs(120);
    let mut seen = Vec::new();
    for line in stdout.lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert!(Instant::now() < end, "{seen:?}");
        if line["value"]["text"] == "GUEST ready" {
            let pid = i32::try_from(child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::INT).unwrap();
        }
        seen.push(line);
    }
    assert!(child.wait().unwrap().success(), "{seen:?}");
    let any = |event: &str, text: &str| {
        seen.iter()
            .any(|line| line["event"] == event && line["value"].to_string().contains(text))
    };
    assert!(any("guest", "\"stage\":\"guest\""), "{seen:?}");
    assert!(any("no_report", "expected a JSON object"), "{seen:?}");
    assert!(
        any("console", r#"GUEST host {\"app_compose\":\"{}\"}"#),
        "{seen:?}"
    );
    assert!(any("console", "GUEST button"), "{seen:?}");
    assert!(any("machine", "SHUTDOWN"), "{seen:?}");
    assert_eq!(seen.last().unwrap()["ended"], "powered off");

    // The quote the guest got shows the registers of this image on this shape, and MRCONFIGID of its document's app.
    let config = VmConfig {
        platform: Platform::SimVm(Accelerator::Tcg),
        shape: Shape::new(1, 512).unwrap(),
        data: None,
        forwards: Vec::new(),
    };
    let loaded = LoadedImage::read(guest.image.clone()).unwrap();
    let registers = loaded.measure(&guest.tools, &config).unwrap().registers();
    let catalogue = Catalogue::from_json(&std::fs::read(&catalogue).unwrap()).unwrap();
    assert!(catalogue.proof(&registers).is_some(), "{registers:?}");
    assert_eq!(measured["os_image"], serde_json::json!(catalogue.os_image_hash()));
    let quote = seen.iter().find_map(|line| {
        let text = line["value"]["text"]
            .as_str()?
            .strip_prefix("GUEST answer {\"quote\":\"0x")?;
        hex::decode(text.trim_end_matches("\"}")).ok()
    });
    let quote = quote.unwrap();
    assert_eq!(quote[184..232], registers.mrtd.as_bytes()[..]);
    let compose = ComposeHash::of(b"{}");
    assert_eq!(
        quote[232..280],
        attestation::config_id_for(&compose).as_bytes()[..]
    );
    for (at, register) in [
        (376, registers.rtmr0),
        (424, registers.rtmr1),
        (472, registers.rtmr2),
    ] {
        assert_eq!(quote[at..at + 48], register.as_bytes()[..], "register at {at}");
    }
}
