//! The command line: serve, `floor`, `--check-config`, `--print-defaults`. Exit 64 for a bad configuration, 1 for anything else.

use super::{
    config::{DEFAULT, LogFormat, SidecarConfig},
    floor::WatchedFloor,
    service::Service,
};
use crate::{
    SystemClock,
    store::{FloorCommand, explained},
};
use clap::{Parser, Subcommand};
use kms_settings::ConfigError;
use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Exit status of a bad configuration (sysexits.h, EX_USAGE).
const BAD_CONFIG: u8 = 64;

/// dstack's bootAuth webhook, answered from contract state proven against block headers.
#[derive(Debug, Parser)]
#[command(name = "authority-bridge", version)]
pub struct Cli {
    /// Configuration file; the defaults it changes are printed by --print-defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the configuration, tell every problem, and exit.
    #[arg(long)]
    check_config: bool,
    /// Print the commented defaults and exit.
    #[arg(long)]
    print_defaults: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM; the same as no command.
    Run,
    /// The newest finalized block ever acted on.
    #[command(subcommand)]
    Floor(FloorCommand),
}

/// Runs the command line.
pub async fn run(cli: Cli) -> ExitCode {
    match execute(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = explained(&*error);
            let _ = writeln!(io::stderr(), "authority-bridge: {}", text.trim_end());
            if error.is::<ConfigError>() {
                ExitCode::from(BAD_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn execute(cli: Cli) -> Result<(), Box<dyn Error + Send + Sync>> {
    if cli.print_defaults {
        return Ok(io::stdout().write_all(DEFAULT.as_bytes())?);
    }
    let config = SidecarConfig::load(cli.config.as_deref(), std::env::vars())?;
    if cli.check_config {
        return Ok(writeln!(io::stdout(), "configuration: ok")?);
    }
    start_logging(&config)?;
    if let Some(Command::Floor(floor)) = cli.command {
        return act_on_floor(floor, &config).await;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let service = Service::start(config, Arc::new(SystemClock)).await?;
    let ready = serde_json::json!({ "ready": true, "address": service.address() });
    writeln!(io::stdout(), "{ready}")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    service.shutdown().await;
    Ok(())
}

async fn act_on_floor(
    asked: FloorCommand,
    config: &SidecarConfig,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let floor = WatchedFloor::open(config).await?;
    let places = asked.run(floor.guarded()).await?;
    floor.close().await;
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&places)?)?)
}

fn start_logging(config: &SidecarConfig) -> Result<(), Box<dyn Error + Send + Sync>> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.log.filter)?)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match config.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
}
