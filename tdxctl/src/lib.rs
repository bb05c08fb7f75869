//! Guest utility and verifier's desk: a TD's quotes, registers and event log; its keys from a KMS; evidence checked offline.
//!
//! [`run`] is the command line: every command gives an outcome or a failure, and printing and exit codes are in one place. The
//! guest's side of the KMS protocol is the crate `kms-client`.
#![forbid(unsafe_code)]

mod case;
mod chain;
mod cli;
mod commands;
pub mod exit;
mod harden;
mod input;
mod on_chain;
mod policy;
mod roots;
mod table;

pub use roots::INTEL_ROOT;

use clap::Parser;
use cli::{Cli, Command};
use exit::{Failure, Outcome};
use serde_json::Value;
use std::{
    ffi::OsString,
    io::{self, Write},
};

/// Runs one command line and gives its exit code.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // A command line that cannot be read still says in which form its reader wants the failure.
    let json = arguments.iter().any(|argument| argument == "--json");
    let result = match Cli::try_parse_from(arguments) {
        Ok(cli) => execute(cli.command, json).await,
        Err(error) if json && error.use_stderr() => Err(Failure::usage(exit::printable(
            error.to_string().lines().next().unwrap_or_default(),
        ))),
        Err(error) => {
            // Nobody is left to be told when standard output or error is gone.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::OK };
        }
    };
    match print(json, &result) {
        Err(_) => exit::COULD_NOT_ASK,
        Ok(()) => match result {
            Ok(outcome) => outcome.code,
            Err(failure) => failure.code(),
        },
    }
}

async fn execute(command: Command, json: bool) -> Result<Outcome, Failure> {
    match command {
        Command::Quote(arguments) => commands::quote(&arguments),
        Command::Extend(arguments) => commands::extend(&arguments),
        Command::EventLog(arguments) => commands::event_log(&arguments),
        Command::Rand(arguments) => commands::rand(&arguments, json),
        Command::Luks(command) => commands::luks(&command),
        Command::Replay(arguments) => commands::replay(&arguments),
        Command::RequestKeys(arguments) => commands::request_keys(&arguments).await,
        Command::Seal(arguments) => commands::seal(&arguments, json).await,
        Command::Unseal(arguments) => commands::unseal(&arguments, json).await,
        Command::Setup(arguments) => commands::setup(arguments, json).await,
        Command::Verify(arguments) => commands::verify(&arguments).await,
    }
}

fn print(json: bool, result: &Result<Outcome, Failure>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match (result, json) {
        (Ok(outcome), true) if outcome.json == Value::Null => Ok(()),
        (Ok(outcome), false) if outcome.text.is_empty() => Ok(()),
        (Ok(outcome), true) => writeln!(out, "{}", outcome.json),
        (Ok(outcome), false) => writeln!(out, "{}", outcome.text),
        (Err(failure), true) => writeln!(out, "{}", failure.json()),
        (Err(failure), false) => writeln!(io::stderr(), "{}", failure.text()),
    }
}
