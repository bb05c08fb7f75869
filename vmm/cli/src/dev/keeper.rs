//! The keeper: starts the network of a folder, makes its blocks, saves its chain, stops it when asked to.

use super::{KEEPER, Keeper, lock, saved_file};
use anvil_tests::{FINALITY, Mining, Network, NetworkOptions};
use anyhow::{Result, bail};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// How often the chain is looked at.
const TICK: Duration = Duration::from_millis(50);
/// Between blocks while something waits to become final. A developer waits as well.
const BUSY: Duration = Duration::from_millis(250);
/// Between blocks otherwise: well below the age at which a node refuses a head.
const IDLE: Duration = Duration::from_secs(10);

/// Runs the network of a folder until it is told to stop or a part of it fails.
///
/// # Errors
/// When another keeper has the folder, or a part does not start or ends by itself.
pub(super) async fn run(state: &Path) -> Result<()> {
    let Some(_lock) = lock(state)? else {
        bail!("another network already runs in {}", state.display());
    };
    // A terminal that closes must not take the network along. Fails for a group leader, which has no terminal to lose.
    let _ = rustix::process::setsid();
    let ready = state.join(KEEPER);
    let _ = std::fs::remove_file(&ready);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    eprintln!("starting chain, contracts, collateral service, KMS node");
    let options = NetworkOptions {
        folder: Some(state.to_owned()),
        mining: Mining::OnDemand,
        ..NetworkOptions::default()
    };
    let mut network = Network::start(options).await?;
    std::fs::write(
        &ready,
        serde_json::to_vec(&Keeper {
            pid: std::process::id(),
        })?,
    )?;
    eprintln!("ready");
    let kept = tokio::select! {
        kept = keep(&mut network) => kept,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    let _ = std::fs::remove_file(&ready);
    network.stop().await?;
    eprintln!("stopped");
    kept
}

/// Saves the chain and says up to which block, for commands that report nothing a crash could take back.
async fn save(network: &Network) -> Result<()> {
    let head = network.anvil().head().await?;
    network.save().await?;
    Ok(std::fs::write(
        saved_file(network.folder().path()),
        head.to_string(),
    )?)
}

/// A block for each transaction comes by itself; the blocks that make it final, and a slow heartbeat, come from here. Every
/// new block is saved before the next, so that a crash never takes back a block a node has seen as final.
async fn keep(network: &mut Network) -> Result<()> {
    let mut head = network.anvil().head().await?;
    let mut goal = head + FINALITY;
    let mut made = Instant::now();
    loop {
        tokio::time::sleep(TICK).await;
        network.ensure_running()?;
        let now = network.anvil().head().await?;
        let moved = now != head;
        if moved {
            goal = now + FINALITY;
            head = now;
        }
        let due = if head < goal { BUSY } else { IDLE };
        if moved {
            save(network).await?;
            made = Instant::now();
        } else if made.elapsed() >= due {
            network.mine(1).await?;
            head += 1;
            made = Instant::now();
            save(network).await?;
        }
    }
}
