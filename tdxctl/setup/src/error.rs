//! Why a boot stops. "Malformed", "refused" and "could not ask" are different kinds, all the way to the exit code.

use crate::Stage;
use guest_files::FailureKind;
use std::error::Error;

/// Why a stage gave up.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    /// What kind of reason.
    pub kind: FailureKind,
    /// What was expected, what came.
    pub message: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl StageError {
    /// An input that is not what it should be.
    pub fn malformed(message: impl Into<String>, advice: &'static str) -> Self {
        Self::new(FailureKind::Malformed, message, advice)
    }

    /// A check that failed.
    pub fn refused(message: impl Into<String>, advice: &'static str) -> Self {
        Self::new(FailureKind::Refused, message, advice)
    }

    /// Something that cannot be asked now.
    pub fn could_not_ask(message: impl Into<String>, advice: &'static str) -> Self {
        Self::new(FailureKind::CouldNotAsk, message, advice)
    }

    fn new(kind: FailureKind, message: impl Into<String>, advice: &'static str) -> Self {
        Self {
            kind,
            message: message.into(),
            advice,
        }
    }
}

/// Why a boot stopped, and where.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {source}")]
pub struct SetupError {
    /// The stage that gave up.
    pub stage: Stage,
    /// Why.
    pub source: StageError,
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
