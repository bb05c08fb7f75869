//! The `kedge` program as a user runs it: its output, its exit codes, what survives `kill -9`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod compose;
mod demo;
mod deploy;
mod deploy_faults;
mod deploy_images;
mod dev;
#[path = "../../../runner/tests/it/guest.rs"]
mod guest;
mod keys;
mod os_boot;
mod os_explain;
mod verify;
mod verify_image;

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

/// The sample app's document.
const COMPOSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/app-compose.json");

/// Runs `kedge` with a state folder.
fn kedge(state: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kedge"))
        .arg("--state")
        .arg(state)
        .args(arguments)
        .env_remove("KEDGE_RPC")
        .env_remove("KEDGE_AUTHORITY")
        .output()
        .expect("kedge starts")
}

/// Its one JSON object, after it ended well.
fn json(state: &Path, arguments: &[&str]) -> Value {
    let output = kedge(state, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
}

/// The error object of a command that must fail with this exit code.
fn fails(state: &Path, arguments: &[&str], code: i32) -> String {
    let output = kedge(state, &[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["ok"], false);
    assert_eq!(object["exit_code"], code);
    object["error"].as_str().unwrap().to_owned()
}

/// Stops the network of a folder when a test ends, also by a panic.
struct Down<'a>(&'a Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        kedge(self.0, &["dev", "down"]);
    }
}
