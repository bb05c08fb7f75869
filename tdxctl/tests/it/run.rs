//! Runs the program and keeps what it said.

use serde_json::Value;
use std::process::Command;

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "one JSON object: {self:?}");
        serde_json::from_str(&self.out).unwrap()
    }

    /// Rows of `verify` that failed.
    pub(crate) fn failed(&self) -> Vec<String> {
        let json = self.json();
        let rows = json["checks"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        let failed = rows.iter().filter(|row| row["ok"] != true);
        failed.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn message(&self) -> String {
        let json = self.json();
        json["error"]["message"]
            .as_str()
            .unwrap_or_else(|| panic!("{self:?}"))
            .to_owned()
    }
}

pub(crate) fn tdxctl<S: AsRef<str>>(arguments: &[S]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_tdxctl"))
        .args(arguments.iter().map(AsRef::as_ref))
        .env_remove("KEDGE_TD")
        .env_remove("KEDGE_KMS")
        .output()
        .unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command line written as one text, then paths and values that may not be split.
pub(crate) fn line(text: &str, rest: &[&str]) -> Run {
    let words: Vec<&str> = text.split_whitespace().chain(rest.iter().copied()).collect();
    tdxctl(&words)
}
