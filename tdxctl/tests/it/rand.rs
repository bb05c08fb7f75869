//! `rand`: as many bytes as asked for, in each form, and in a file of the owner.

use crate::run::{line, tdxctl};
use std::{fs, os::unix::fs::PermissionsExt, process::Command};

#[test]
fn each_form_has_the_bytes_that_were_asked_for() {
    let hex = line("rand 33", &[]);
    assert_eq!((hex.code, hex.err.as_str()), (0, ""));
    assert_eq!(hex::decode(hex.out.trim_end()).unwrap().len(), 33);
    assert_ne!(hex.out, line("rand 33", &[]).out);
    // 33 bytes need no padding, 32 do.
    assert_eq!(line("rand 33 --format base64", &[]).out.trim_end().len(), 44);
    assert!(line("rand 32 --format base64", &[]).out.trim_end().ends_with('='));
    let raw = Command::new(env!("CARGO_BIN_EXE_tdxctl"))
        .args(["rand", "1048576", "--format", "raw"])
        .output()
        .unwrap();
    assert_eq!(raw.stdout.len(), 1 << 20);
    let json = line("rand 16 --json", &[]).json();
    assert_eq!(json["bytes"], 16);
    assert_eq!(hex::decode(json["value"].as_str().unwrap()).unwrap().len(), 16);
}

#[test]
fn k4_a_file_is_its_owners_alone_and_shown_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key").display().to_string();
    let run = tdxctl(&["rand", "32", "--format", "raw", "--output", &path, "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["value"], serde_json::Value::Null);
    assert_eq!(fs::read(&path).unwrap().len(), 32);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let nowhere = tdxctl(&["rand", "32", "--output", "/nonexistent/key"]);
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
}

#[test]
fn none_and_too_many_are_refused() {
    for arguments in [
        "rand 0",
        "rand 1048577",
        "rand -1",
        "rand x",
        "rand 8 --format raw --json",
    ] {
        assert_eq!(line(arguments, &[]).code, 64, "{arguments}");
    }
}
