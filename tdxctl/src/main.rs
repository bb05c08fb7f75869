//! Starts the command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two TLS stacks are linked; whichever makes a client first would otherwise panic over the choice. Only a second
    // call can fail, and there is none.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tdxctl: {error}");
            return ExitCode::from(tdxctl::exit::COULD_NOT_ASK);
        }
    };
    ExitCode::from(runtime.block_on(tdxctl::run(std::env::args_os())))
}
