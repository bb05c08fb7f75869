//! Starts the command line.
#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match kedge::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let words: Vec<_> = std::env::args_os().collect();
            return kedge::exit::usage(&error, &words);
        }
    };
    // Two TLS stacks are linked; whichever builds a client first would otherwise panic over the choice.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let json = cli.json;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return kedge::exit::report(&error.into(), json),
    };
    match runtime.block_on(kedge::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => kedge::exit::report(&error, json),
    }
}
