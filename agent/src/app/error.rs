//! Why the app does not run: its own fault, a part that could not be asked, or this machine.

use std::{io, path::PathBuf};

/// Why the app does not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The measured document cannot be run; trying again changes nothing.
    #[error("{what}: {reason}")]
    Document {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A script ended with a failure.
    #[error("{script}: expected to end with 0, got {actual}")]
    Script {
        /// Which.
        script: &'static str,
        /// How it ended.
        actual: String,
    },
    /// A script took too long.
    #[error("{script}: expected to end within {seconds} s, it did not and was stopped")]
    Slow {
        /// Which.
        script: &'static str,
        /// Its time.
        seconds: u64,
    },
    /// The container runtime said no, or a container failed.
    #[error("{reason}")]
    Runtime {
        /// Its words.
        reason: String,
        /// Whether another try may help.
        transient: bool,
    },
    /// A file or process of this machine.
    #[error("{path}: {doing}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// There is no such service.
    #[error("service: expected one of the app, got {actual:?}")]
    NoSuchService {
        /// What was asked for.
        actual: String,
    },
}

impl AppError {
    /// Wraps an I/O error with what it was about.
    pub(crate) fn io(path: impl Into<PathBuf>, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, doing, source }
    }

    /// Whether another try may help.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Runtime { transient, .. } => *transient,
            Self::Io { .. } => true,
            Self::Document { .. } | Self::Script { .. } | Self::Slow { .. } | Self::NoSuchService { .. } => {
                false
            }
        }
    }

    /// What to do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Document { .. } => {
                "correct the compose document; it has a new hash then, which the app's owner allows on-chain"
            }
            Self::Script { .. } | Self::Slow { .. } => {
                "look at the script's log: kedge logs, or /v1/logs of the agent"
            }
            Self::Runtime { transient: true, .. } => {
                "the agent tries again; look at containerd and at the registries if it goes on"
            }
            Self::Runtime { .. } => "look at the container's log: kedge logs, or /v1/logs of the agent",
            Self::Io { .. } => "look at the guest's disk and memory",
            Self::NoSuchService { .. } => "name a service of the compose file",
        }
    }
}
