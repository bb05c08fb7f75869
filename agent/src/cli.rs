//! The command line: `run`, `log-writer`, `--check-config`, `--print-defaults`. Exit 64 for a bad configuration, 1 for
//! anything else.

use crate::{
    config::{Config, ConfigError, LogFormat},
    harden,
    run::{RunError, RunOptions, run},
};
use clap::{Parser, Subcommand};
use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tracing_subscriber::EnvFilter;

/// Exit status of a bad configuration (sysexits.h, EX_USAGE).
const BAD_CONFIG: u8 = 64;
/// Threads that drive sockets; the TD and files have others.
const WORKERS: usize = 2;

/// What runs an app inside its confidential VM.
#[derive(Debug, Parser)]
#[command(name = "kedge-agent", version)]
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
    /// Run the app that setup prepared, until SIGTERM. Its containers go on after that unless --stop-app is given.
    Run {
        /// Folder of this boot, on a tmpfs.
        #[arg(long, default_value = "/run/kedge")]
        run: PathBuf,
        /// Folder that outlives a boot.
        #[arg(long, default_value = "/var/lib/kedge")]
        data: PathBuf,
        /// Stop the app on SIGTERM too.
        #[arg(long)]
        stop_app: bool,
    },
    /// Write the log of one container; started by the container runtime.
    #[command(hide = true)]
    LogWriter {
        /// Settings of the log.
        settings: PathBuf,
    },
}

/// Runs the command line.
pub fn execute(cli: Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let advice = error.downcast_ref::<RunError>().map(RunError::advice);
            let text = crate::lease::chain(&*error);
            let _ = writeln!(io::stderr(), "kedge-agent: {}", text.trim_end());
            if let Some(advice) = advice {
                let _ = writeln!(io::stderr(), "  what to do: {advice}");
            }
            if error.is::<ConfigError>() {
                ExitCode::from(BAD_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Box<dyn Error + Send + Sync>> {
    if cli.print_defaults {
        return Ok(io::stdout().write_all(crate::config::DEFAULT.as_bytes())?);
    }
    if let Some(Command::LogWriter { settings }) = &cli.command {
        // Its environment is the shim's; no configuration may keep a container's log from being written.
        return Ok(container_runtime::logs::write_until_closed(settings)?);
    }
    let config = Config::load(cli.config.as_deref(), std::env::vars())?;
    if cli.check_config {
        return Ok(writeln!(io::stdout(), "configuration: ok")?);
    }
    let Some(Command::Run {
        run: folder,
        data,
        stop_app,
    }) = cli.command
    else {
        return Err("expected a command: run".into());
    };
    start_logging(&config)?;
    harden::process()?;
    let options = RunOptions {
        run: absolute(&folder)?,
        data: absolute(&data)?,
        stop_app,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    Ok(runtime.block_on(run(config, options))?)
}

fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

fn start_logging(config: &Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = EnvFilter::try_new(&config.log.filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match config.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
}
