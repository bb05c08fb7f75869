//! The `kedge` command: a development network, apps and OS images on-chain, the KMS, and the demo of the main job.
//!
//! It refuses keys in arguments, key files others can read, and half-named networks. What it sends it says first; what a
//! contract refuses it repeats in the contract's own words.
#![forbid(unsafe_code)]

mod app;
mod cli;
mod compose;
mod connection;
mod decision;
mod decisions;
mod demo;
mod deploy;
mod dev;
pub mod exit;
mod history;
mod kms;
mod node;
mod os;
mod output;
mod verify;

pub use cli::Cli;

use anyhow::Result;
use cli::{Chain, Command, Verify};
use output::Output;

/// Runs a command.
///
/// # Errors
/// When it did not do what it should; [`exit::code`] gives the exit code.
pub async fn run(cli: Cli) -> Result<()> {
    let output = Output::new(cli.json);
    match cli.command {
        Command::Dev(command) => dev::run(&cli.state, command, &output).await,
        Command::App(command) => app::run(&cli.state, command, &output).await,
        Command::Os(command) => os::run(&cli.state, command, &output).await,
        Command::Kms(command) => kms::run(&cli.state, command, &output).await,
        Command::Chain(Chain::History(asked)) => history::list(&cli.state, &asked, &output).await,
        Command::Chain(Chain::Decisions(asked)) => decisions::list(&cli.state, &asked, &output).await,
        Command::Chain(Chain::Evidence(asked)) => decisions::save(&cli.state, &asked, &output).await,
        Command::Verify {
            what: Some(Verify::Decision(file)),
            ..
        } => decision::run(&file, cli.json),
        Command::Verify {
            what: None,
            arguments,
        } => verify::run(arguments, cli.json),
        Command::Deploy(asked) => deploy::run(&cli.state, &asked, &output).await,
        Command::Instances(command) => deploy::instances(&cli.state, command, &output).await,
        Command::Demo(options) => demo::run(&options, &output).await,
    }
}
