//! How a command ends: the exit code that goes with an error, and its words.

use authority_contracts::deploy::DeployError;
use std::{ffi::OsString, process::ExitCode};

/// Something said no: a contract, the KMS, or a check.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Somebody could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// Already shown, step by step.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Told(pub String);

/// A check did not say that everything holds. Its exit codes are those of `tdxctl verify`, not those of the other commands.
#[derive(Debug, thiserror::Error)]
pub enum Verdict {
    /// It ended with this exit code, and said why.
    #[error("the check ended with exit code {0}")]
    Said(u8),
    /// The file is not what it should be.
    #[error("{0}")]
    Malformed(String),
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It did not start, or did not end by itself.
    #[error("tdxctl verify: {0}")]
    NotRun(String),
}

/// The exit code for an error; `kedge --help` lists them.
pub fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        match cause.downcast_ref::<Verdict>() {
            Some(Verdict::Said(code)) => return *code,
            Some(Verdict::Malformed(_)) => return tdxctl::exit::USAGE,
            Some(Verdict::NotRun(_) | Verdict::Unreadable(_)) => return tdxctl::exit::COULD_NOT_ASK,
            None => {}
        }
        if cause.is::<Refused>() {
            return 3;
        }
        if cause.is::<Unreachable>() {
            return 4;
        }
        match cause.downcast_ref::<DeployError>() {
            Some(DeployError::Refused { .. } | DeployError::Failed { .. }) => return 3,
            Some(
                DeployError::Connect { .. }
                | DeployError::Transport { .. }
                | DeployError::Silent { .. }
                | DeployError::Pending { .. },
            ) => return 4,
            _ => {}
        }
    }
    1
}

/// Prints what is wrong with a command line, or the help that was asked for, and gives the exit code.
pub fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let mut code = u8::try_from(error.exit_code()).unwrap_or(2);
    if error.use_stderr() && command(words).is_some_and(|word| word == "verify") {
        code = tdxctl::exit::USAGE;
    }
    if words.iter().any(|word| word == "--json") && error.use_stderr() {
        let text = error.render().to_string();
        let text = text.trim_start_matches("error: ").trim_end();
        crate::output::line(serde_json::json!({ "ok": false, "exit_code": code, "error": text }));
    } else {
        // Nobody is left to tell when the terminal is gone.
        let _ = error.print();
    }
    ExitCode::from(code)
}

/// The command among the words of a command line.
fn command(words: &[OsString]) -> Option<&OsString> {
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--state" {
            words.next();
        } else if !word.to_string_lossy().starts_with('-') {
            return Some(word);
        }
    }
    None
}

/// Prints an error and gives its exit code.
pub fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let code = code(error);
    let text = format!("{error:#}");
    let said = matches!(error.downcast_ref(), Some(Verdict::Said(_)));
    if said || json && error.is::<Told>() {
        return ExitCode::from(code);
    }
    if json {
        crate::output::line(serde_json::json!({ "ok": false, "exit_code": code, "error": text }));
    } else {
        eprintln!("kedge: {text}");
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use anyhow::Context;

    #[test]
    fn refusals_and_silence_have_their_own_codes() {
        let refused = DeployError::Refused {
            step: "allow",
            reason: "OwnableUnauthorizedAccount".into(),
        };
        assert_eq!(code(&Err::<(), _>(refused).context("allow app").unwrap_err()), 3);
        assert_eq!(code(&Refused("no".into()).into()), 3);
        assert_eq!(code(&Unreachable("nobody".into()).into()), 4);
        assert_eq!(
            code(
                &DeployError::Silent {
                    step: "allow",
                    seconds: 60
                }
                .into()
            ),
            4
        );
        assert_eq!(code(&anyhow::anyhow!("disk full")), 1);
        assert_eq!(code(&Verdict::Said(64).into()), 64);
        assert_eq!(code(&Verdict::NotRun("killed".into()).into()), 2);
        assert_eq!(code(&Verdict::Malformed("no JSON".into()).into()), 64);
        assert_eq!(code(&Verdict::Unreadable("no file".into()).into()), 2);
    }

    #[test]
    fn the_command_is_found_behind_global_options() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(command(&words("kedge --json --state verify dev")).unwrap(), "dev");
        assert_eq!(
            command(&words("kedge --state=x verify decision")).unwrap(),
            "verify"
        );
        assert_eq!(command(&words("kedge --json")), None);
    }
}
