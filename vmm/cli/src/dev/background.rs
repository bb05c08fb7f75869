//! `dev up` and `dev down`: a keeper put into the background, and asked to stop.

use super::{forget_dead_keeper, keeper_of, lock, log_file, status};
use crate::{exit::Unreachable, output::Output};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::OpenOptions,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longest wait for a network to start.
const START: Duration = Duration::from_secs(120);
/// Longest wait for one to stop.
const STOP: Duration = Duration::from_secs(45);

/// Starts the network of a folder unless it runs, and shows it.
///
/// # Errors
/// When it does not start; the message has the end of its log.
pub(super) async fn up(state: &Path, output: &Output) -> Result<()> {
    if keeper_of(state)?.is_some() {
        output.say("already running");
        return status::status(state, output).await;
    }
    if lock(state)?.is_none() {
        output.waiting("another `kedge dev up` is at work in this folder");
    }
    let resumed = anvil_tests::Description::load(state)?.is_some();
    output.waiting(if resumed {
        "going on with the network in the folder"
    } else {
        "making a new network"
    });
    forget_dead_keeper(state)?;
    let mut keeper = spawn(state)?;
    wait_ready(state, &mut keeper).await?;
    status::status(state, output).await
}

fn spawn(state: &Path) -> Result<Child> {
    let log = log_file(state);
    if let Some(folder) = log.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let log = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&log)
        .with_context(|| log.display().to_string())?;
    Command::new(std::env::current_exe()?)
        .arg("--state")
        .arg(state)
        .args(["dev", "run"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start the keeper")
}

async fn wait_ready(state: &Path, keeper: &mut Child) -> Result<()> {
    let end = Instant::now() + START;
    loop {
        if keeper_of(state)?.is_some() {
            return Ok(());
        }
        if let Some(status) = keeper.try_wait()? {
            // Another keeper may have been first; then the network is there all the same.
            if keeper_of(state)?.is_some() {
                return Ok(());
            }
            bail!(
                "the network did not start ({status}):\n{}",
                anvil_tests::process::tail(&log_file(state))
            );
        }
        if Instant::now() > end {
            let _ = keeper.kill();
            bail!(
                "the network did not start within {START:?}; see {}",
                state.join("logs").display()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Stops the network of a folder, and first the instances that run in it; their data stays.
///
/// # Errors
/// When one of them does not stop in time.
pub(super) async fn down(state: &Path, output: &Output) -> Result<()> {
    // Without its network an instance runs until its lease ends and then stops for a reason nobody remembers.
    crate::deploy::stop_all(state, output).await?;
    let Some(keeper) = keeper_of(state)? else {
        output.say(format!("no network runs in {}", state.display()));
        output.result("", &[("running", false.into())]);
        return Ok(());
    };
    let pid = i32::try_from(keeper.pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("keeper.json names no process")?;
    kill_process(pid, Signal::TERM)
        .map_err(|error| Unreachable(format!("process {}: {error}", keeper.pid)))?;
    output.waiting("stopping node and chain");
    let end = Instant::now() + STOP;
    while lock(state)?.is_none() {
        if Instant::now() > end {
            bail!("process {} did not stop within {STOP:?}", keeper.pid);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    output.say(format!(
        "stopped; chain, root and addresses stay in {}",
        state.display()
    ));
    if output.is_json() {
        output.result("", &[("running", false.into())]);
    }
    Ok(())
}
