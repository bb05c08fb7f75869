//! `kedge verify`: hands its arguments to `tdxctl verify`, which is built beside it; one verifier, one output.

use crate::exit::Refused;
use anyhow::{Context, Result};
use std::{ffi::OsString, process::Command};

/// Runs `tdxctl verify`.
///
/// # Errors
/// [`Refused`] when a check does not hold.
pub(crate) fn run(arguments: Vec<OsString>, json: bool) -> Result<()> {
    let mut command = Command::new(anvil_tests::binaries::own("tdxctl")?);
    command.arg("verify").args(arguments);
    if json {
        command.arg("--json");
    }
    let status = command.status().context("run tdxctl")?;
    if status.success() {
        Ok(())
    } else {
        Err(Refused(format!("tdxctl verify: {status}")).into())
    }
}
