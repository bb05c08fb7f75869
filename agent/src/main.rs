//! Starts the agent.
#![forbid(unsafe_code)]

use agent::cli::{Cli, execute};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!(
            "kedge-agent: another provider of cryptography is set in this process: this is a fault of the program"
        );
        return ExitCode::FAILURE;
    }
    execute(cli)
}
