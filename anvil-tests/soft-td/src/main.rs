//! The `soft-td` command: serves the collateral of a simulated platform, or one simulated TD. Both keep the platform's seed
//! in the state folder, so they are one platform and stay it across restarts. Prints one JSON line when ready, stops on
//! SIGTERM or SIGINT.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use soft_td::{BootFile, PlatformConfig, PlatformSeed, SoftPlatform, pcs, server};
use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// A software TDX platform. Nothing it signs is attested by any hardware.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the platform's collateral over HTTP, in the shape of Intel's PCS v4
    Pcs {
        /// Folder that holds the platform's seed
        #[arg(long)]
        state: PathBuf,
        /// Address to listen at; port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Launch a TD and serve it at a unix socket
    Td {
        /// Folder that holds the platform's seed
        #[arg(long)]
        state: PathBuf,
        /// Socket to listen at
        #[arg(long)]
        socket: PathBuf,
        /// Boot file (JSON): measurement, MRCONFIGID, quote version, events
        #[arg(long)]
        boot: PathBuf,
        /// End when the process that started this one ends, however that ends
        #[arg(long)]
        with_parent: bool,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Pcs { state, listen } => run_pcs(&state, listen).await,
        Command::Td {
            state,
            socket,
            boot,
            with_parent,
        } => {
            if with_parent {
                // From now on; a parent that is gone already has left its pipe closed, which the ready line meets.
                rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                    .context("death signal of the parent")?;
            }
            run_td(&state, &socket, &boot).await
        }
    }
}

fn platform(state: &Path) -> Result<SoftPlatform> {
    let seed = PlatformSeed::load_or_create(state).context("platform seed")?;
    SoftPlatform::new(seed, PlatformConfig::default()).context("platform")
}

async fn run_pcs(state: &Path, listen: SocketAddr) -> Result<()> {
    let platform = platform(state)?;
    let stop = stop()?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen at {listen}"))?;
    let address = listener.local_addr()?;
    let line = ready_line(&platform, json!({"url": format!("http://{address}")}));
    let router = pcs::router(Arc::new(RwLock::new(platform)), pcs::system_clock());
    ready(&line)?;
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
        .context("serve")
}

async fn run_td(state: &Path, socket: &Path, boot: &Path) -> Result<()> {
    let platform = platform(state)?;
    let stop = stop()?;
    let file = BootFile::read(boot)?;
    let td = file
        .launch(&platform, boot.parent().unwrap_or(Path::new("")))
        .context("launch")?;
    let served = json!({"socket": socket.display().to_string(), "measurement": td.config().measurement});
    let line = ready_line(&platform, served);
    let server = server::serve(Arc::new(td), socket).context("serve")?;
    ready(&line)?;
    stop.await;
    drop(server);
    Ok(())
}

/// What whoever started the command wants to know: the platform, and what is served where.
fn ready_line(platform: &SoftPlatform, served: Value) -> Value {
    json!({
        "ready": true,
        "pid": std::process::id(),
        "attestation_root": platform.root(),
        "fmspc": platform.published_fmspc(),
        "device_id": platform.device_id(),
        "served": served,
    })
}

fn ready(line: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush().context("stdout")
}

/// Takes the signals over now, before the ready line invites anyone to send one.
fn stop() -> Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
