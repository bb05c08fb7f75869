//! `kedge dev`: the development network of a folder, in the background.
//!
//! One keeper process holds a lock on the folder and everything below it: Anvil, the KMS node, the collateral service. When
//! it goes, they go; what is in the folder is enough to go on.

mod background;
mod keeper;
mod status;

use crate::{cli::Dev, exit::Unreachable, output::Output};
use anvil_tests::Description;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Names the keeper once its network is ready.
const KEEPER: &str = "keeper.json";
/// Longest wait for a block to be on disk.
const SAVED: Duration = Duration::from_secs(10);

/// The running keeper of a folder, written once its network is ready.
#[derive(Debug, Serialize, Deserialize)]
struct Keeper {
    pid: u32,
}

/// Runs a subcommand.
///
/// # Errors
/// When the network does not start, stop or answer.
pub(crate) async fn run(state: &Path, command: Dev, output: &Output) -> Result<()> {
    match command {
        Dev::Up => background::up(state, output).await,
        Dev::Down => background::down(state, output).await,
        Dev::Status => status::status(state, output).await,
        Dev::Run => keeper::run(state).await,
    }
}

/// The network that runs in a folder.
///
/// # Errors
/// [`Unreachable`] when none does.
pub(crate) fn running(state: &Path) -> Result<Description> {
    let none = || {
        Unreachable(format!(
            "no network runs in {}: start it with `kedge dev up`",
            state.display()
        ))
    };
    if keeper_of(state)?.is_none() {
        return Err(none().into());
    }
    Description::load(state)?.ok_or_else(|| none().into())
}

/// The keeper of a folder, if one is alive and its network is ready.
fn keeper_of(state: &Path) -> Result<Option<Keeper>> {
    if !state.exists() || lock(state)?.is_some() {
        return Ok(None);
    }
    let text = match std::fs::read(state.join(KEEPER)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(KEEPER),
    };
    // A keeper that was killed leaves its file behind, and the next one has the lock before it takes the file away.
    let keeper = serde_json::from_slice::<Keeper>(&text).ok();
    Ok(keeper.filter(|keeper| Path::new("/proc").join(keeper.pid.to_string()).exists()))
}

/// Takes away what a killed keeper left. Nothing while one is alive.
fn forget_dead_keeper(state: &Path) -> Result<()> {
    let Some(_lock) = lock(state)? else { return Ok(()) };
    match std::fs::remove_file(state.join(KEEPER)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context(KEEPER),
        _ => Ok(()),
    }
}

/// The lock of a folder, or nothing while its keeper has it. It is let go with the file, also by a crash.
fn lock(state: &Path) -> Result<Option<File>> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .with_context(|| format!("create {}", state.display()))?;
    let path = state.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path);
    let file = file.with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context("lock"),
    }
}

/// Height up to which the chain is on disk.
fn saved_file(state: &Path) -> PathBuf {
    state.join("saved-height")
}

/// Waits until the keeper has saved a block.
///
/// # Errors
/// When it does not within a few seconds.
pub(crate) async fn wait_saved(state: &Path, block: u64) -> Result<()> {
    let end = Instant::now() + SAVED;
    loop {
        let saved = std::fs::read_to_string(saved_file(state))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        if saved.is_some_and(|saved| saved >= block) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(
                Unreachable(format!("block {block} was mined, but not saved within {SAVED:?}")).into(),
            );
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// What the keeper says while it starts, and afterwards.
fn log_file(state: &Path) -> PathBuf {
    state.join("logs").join("dev.log")
}
