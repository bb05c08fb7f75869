//! How a command ends: what it found, or why it found nothing, and the exit code that goes with it.

use kms_client::RequestError;
use serde_json::{Value, json};
use std::{error::Error, fmt::Display};

/// Everything asked for was done, and holds.
pub const OK: u8 = 0;
/// A check failed, or somebody who was asked said no.
pub const REFUSED: u8 = 1;
/// Somebody could not be asked: a TD, a KMS, a chain, a disk.
pub const COULD_NOT_ASK: u8 = 2;
/// The command line or an input file cannot be read as what it should be.
pub const USAGE: u8 = 64;

/// The exit code of a check.
pub(crate) const fn of(ok: bool) -> u8 {
    if ok { OK } else { REFUSED }
}

/// Exit code and name of a stage's kind of reason.
pub(crate) const fn of_stage(kind: guest_setup::FailureKind) -> (u8, &'static str) {
    match kind {
        guest_setup::FailureKind::Malformed => (USAGE, "malformed"),
        guest_setup::FailureKind::Refused => (REFUSED, "refused"),
        guest_setup::FailureKind::CouldNotAsk => (COULD_NOT_ASK, "could_not_ask"),
    }
}

/// What a command found.
pub(crate) struct Outcome {
    /// The exit code: [`OK`] when all of it holds.
    pub(crate) code: u8,
    /// For machines.
    pub(crate) json: Value,
    /// For people.
    pub(crate) text: String,
}

impl Outcome {
    /// Everything was said already.
    pub(crate) const fn silent() -> Self {
        Self {
            code: OK,
            json: Value::Null,
            text: String::new(),
        }
    }
}

/// Why a command found nothing.
pub(crate) struct Failure(Box<Reason>);

struct Reason {
    code: u8,
    kind: &'static str,
    message: String,
    advice: Option<&'static str>,
    details: Value,
}

impl Failure {
    /// An input that is not what it should be.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(USAGE, "malformed", message.to_string())
    }

    /// A check that failed.
    pub(crate) fn refused(message: impl Display) -> Self {
        Self::new(REFUSED, "refused", message.to_string())
    }

    /// Somebody who cannot be asked.
    pub(crate) fn could_not_ask(error: &dyn Error) -> Self {
        Self::new(COULD_NOT_ASK, "could_not_ask", chain(error))
    }

    /// Somebody whose words are no answer.
    pub(crate) fn no_answer(message: impl Display) -> Self {
        Self::new(COULD_NOT_ASK, "could_not_ask", printable(&message.to_string()))
    }

    fn stage(error: &guest_setup::StageError, message: String) -> Self {
        let (code, kind) = of_stage(error.kind);
        let mut failure = Self::new(code, kind, printable(&message));
        failure.0.advice = Some(error.advice);
        failure
    }

    /// The same with what to do.
    pub(crate) fn advise(mut self, advice: &'static str) -> Self {
        self.0.advice = Some(advice);
        self
    }

    fn new(code: u8, kind: &'static str, message: String) -> Self {
        Self(Box::new(Reason {
            code,
            kind,
            message,
            advice: None,
            details: Value::Null,
        }))
    }

    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        self.0.code
    }

    /// The failure for machines.
    pub(crate) fn json(&self) -> Value {
        json!({
            "ok": false,
            "error": {
                "kind": self.0.kind,
                "exit_code": self.0.code,
                "message": self.0.message,
                "advice": self.0.advice,
                "problem": self.0.details,
            }
        })
    }

    /// The failure for people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("tdxctl: {}", self.0.message);
        for (name, at) in [
            ("code", "/code"),
            ("check", "/check"),
            ("expected", "/expected"),
            ("actual", "/actual"),
            ("reason", "/reason"),
            ("block", "/block/number"),
            ("block hash", "/block/hash"),
            ("request id", "/request_id"),
        ] {
            if let Some(value) = self.0.details.pointer(at).filter(|value| !value.is_null()) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                text.push_str(&format!("\n  {name}: {}", printable(&value)));
            }
        }
        if let Some(advice) = self.0.advice {
            text.push_str(&format!("\n  what to do: {advice}"));
        }
        text
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let (code, kind) = if error.could_not_ask() {
            (COULD_NOT_ASK, "could_not_ask")
        } else if matches!(
            error,
            RequestError::Address { .. } | RequestError::TooLong { .. } | RequestError::NotInCatalogue { .. }
        ) {
            (USAGE, "malformed")
        } else {
            (REFUSED, "refused")
        };
        let mut failure = Self::new(code, kind, chain(&error));
        failure.0.advice = Some(error.advice());
        failure.0.details = error
            .problem()
            .and_then(|problem| serde_json::to_value(problem).ok())
            .unwrap_or_default();
        failure
    }
}

impl From<guest_setup::StageError> for Failure {
    fn from(error: guest_setup::StageError) -> Self {
        Self::stage(&error, error.to_string())
    }
}

impl From<guest_setup::SetupError> for Failure {
    fn from(error: guest_setup::SetupError) -> Self {
        Self::stage(&error.source, error.to_string())
    }
}

impl From<td_quote::TdError> for Failure {
    fn from(error: td_quote::TdError) -> Self {
        let advice = error.advice();
        match error {
            td_quote::TdError::Spec { .. } | td_quote::TdError::HardwareOnly { .. } => {
                Self::usage(error).advise(advice)
            }
            error => Self::could_not_ask(&error).advise(advice),
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    printable(&text)
}

/// Text from outside, without what steers a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
