//! The log writer as a program of its own: `container-log-writer log-writer FILE`, run by containerd's shim for one container.
//! It refuses other arguments with exit code 64.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [word, file] = args.as_slice() else {
        return ExitCode::from(64);
    };
    if word != "log-writer" {
        return ExitCode::from(64);
    }
    match container_runtime::logs::write_until_closed(Path::new(file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its standard error is the shim's log.
            eprintln!("container-log-writer: {error}");
            ExitCode::FAILURE
        }
    }
}
