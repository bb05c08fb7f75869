//! The command line: `run`, `bootstrap`, `local`, `--check-config`. Exit 64 for a bad configuration, 1 for anything else.

use crate::{
    Deps, Node,
    config::{Config, ConfigError, LogConfig, LogFormat},
    harden,
    local::{LocalConfig, LocalProvider},
    node::{height_floor, open_store},
    root,
    store::{GenerationCommand, KnownGeneration},
};
use authority_bridge::{
    SystemClock,
    store::{FloorCommand, FloorPlaces},
};
use clap::{Parser, Subcommand};
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

/// Key release to attested virtual machines.
#[derive(Debug, Parser)]
#[command(name = "kms-node", version)]
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
    /// Serve until SIGTERM.
    Run,
    /// Create the root of a new network; print its public identity and a quote over it.
    Bootstrap,
    /// Serve keys to the TDs of this host alone, without a chain; its configuration is another (--print-defaults).
    Local {
        /// Make the sealing secret first; refused when there is one.
        #[arg(long)]
        create: bool,
    },
    /// The newest finalized block this node acted on.
    #[command(subcommand)]
    Floor(FloorCommand),
    /// The highest generation an instance's disk was reported with.
    #[command(subcommand)]
    Generation(GenerationCommand),
}

/// Runs the command line.
pub async fn run(cli: Cli) -> ExitCode {
    match execute(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut next = error.source();
            while let Some(source) = next {
                text.push_str(&format!(": {source}"));
                next = source.source();
            }
            let _ = writeln!(io::stderr(), "kms-node: {}", text.trim_end());
            let is_config = error.is::<ConfigError>();
            if is_config {
                ExitCode::from(BAD_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn execute(cli: Cli) -> Result<(), Box<dyn Error + Send + Sync>> {
    if let Some(Command::Local { create }) = cli.command {
        return local(&cli, create).await;
    }
    if cli.print_defaults {
        return Ok(io::stdout().write_all(crate::config::DEFAULT.as_bytes())?);
    }
    let bootstrap = matches!(cli.command, Some(Command::Bootstrap)) && !cli.check_config;
    let config = load(&cli, bootstrap)?;
    if let (Some(Command::Floor(asked)), false) = (&cli.command, cli.check_config) {
        return Ok(writeln!(
            io::stdout(),
            "{}",
            serde_json::to_string(&floor(&config, *asked).await?)?
        )?);
    }
    if let (Some(Command::Generation(asked)), false) = (&cli.command, cli.check_config) {
        return Ok(writeln!(
            io::stdout(),
            "{}",
            serde_json::to_string(&generation(&config, *asked).await?)?
        )?);
    }
    if cli.check_config {
        return Ok(writeln!(io::stdout(), "configuration: ok")?);
    }
    start_logging(&config.log)?;
    harden::process()?;
    let td: Arc<dyn td_quote::Td> = Arc::from(td_quote::open(&config.td.device)?);
    if bootstrap {
        let made = tokio::task::spawn_blocking(move || root::bootstrap(&config, &*td)).await??;
        return Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&made)?)?);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let node = Node::start(
        config,
        Deps {
            td,
            clock: Arc::new(SystemClock),
        },
    )
    .await?;
    writeln!(
        io::stdout(),
        "{}",
        serde_json::json!({ "ready": true, "address": node.addr() })
    )?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    node.shutdown().await;
    Ok(())
}

async fn local(cli: &Cli, create: bool) -> Result<(), Box<dyn Error + Send + Sync>> {
    if cli.print_defaults {
        return Ok(io::stdout().write_all(crate::local::DEFAULT.as_bytes())?);
    }
    let config = LocalConfig::load(cli.config.as_deref(), std::env::vars())?;
    if cli.check_config {
        return Ok(writeln!(io::stdout(), "configuration: ok")?);
    }
    start_logging(&config.log)?;
    harden::process()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let provider = LocalProvider::start(config, create).await?;
    writeln!(
        io::stdout(),
        "{}",
        serde_json::json!({ "ready": true, "address": provider.addr(), "key_provider_id": provider.id() })
    )?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn floor(config: &Config, asked: FloorCommand) -> Result<FloorPlaces, Box<dyn Error + Send + Sync>> {
    let store = open_store(config).await?;
    let places = asked.run(&height_floor(config, &store)).await?;
    store.close().await;
    Ok(places)
}

async fn generation(
    config: &Config,
    asked: GenerationCommand,
) -> Result<KnownGeneration, Box<dyn Error + Send + Sync>> {
    let store = open_store(config).await?;
    let known = asked.run(&store).await?;
    store.close().await;
    Ok(known)
}

fn load(cli: &Cli, bootstrap: bool) -> Result<Config, ConfigError> {
    let (file, environment) = (cli.config.as_deref(), std::env::vars());
    if bootstrap {
        Config::load_for_bootstrap(file, environment)
    } else {
        Config::load(file, environment)
    }
}

fn start_logging(log: &LogConfig) -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = EnvFilter::try_new(&log.filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
}
