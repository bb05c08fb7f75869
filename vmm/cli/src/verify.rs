//! `kedge verify`: hands its arguments to `tdxctl verify`, which is built beside it; one verifier, one output, one set of
//! exit codes.

use crate::exit::Verdict;
use anyhow::Result;
use std::{ffi::OsString, process::Command};

/// Runs `tdxctl verify`.
///
/// # Errors
/// [`Verdict`] unless every check holds.
pub(crate) fn run(arguments: Vec<OsString>, json: bool) -> Result<()> {
    let program =
        anvil_tests::binaries::own("tdxctl").map_err(|error| Verdict::NotRun(format!("{error:#}")))?;
    let mut command = Command::new(program);
    // `tdxctl` takes its switches once.
    let json = json && !arguments.iter().any(|argument| argument == "--json");
    command.arg("verify").args(arguments);
    if json {
        command.arg("--json");
    }
    let status = command
        .status()
        .map_err(|error| Verdict::NotRun(error.to_string()))?;
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => Err(Verdict::Said(code).into()),
        // Ended by a signal.
        _ => Err(Verdict::NotRun(status.to_string()).into()),
    }
}
