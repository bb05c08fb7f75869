//! How a command ends: the exit code that goes with an error, and its words.

use authority_contracts::deploy::DeployError;
use std::process::ExitCode;

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

/// The exit code for an error; `kedge --help` lists them.
pub fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
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

/// Prints an error and gives its exit code.
pub fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let code = code(error);
    let text = format!("{error:#}");
    if json && error.is::<Told>() {
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
    }
}
