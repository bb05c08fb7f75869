//! Errors of the runtime. Three questions stay apart: what the project asks for cannot be done here, something could not be
//! asked, or a container itself failed.

use std::path::PathBuf;

use crate::images::ImageError;
use crate::network::NetworkError;

/// Why an image, a container or the project is not running.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The project asks for something this runtime does not do.
    #[error("service {service}: {what} is not supported here: {reason}")]
    Unsupported {
        /// Service that asks.
        service: String,
        /// Key or value of the compose file.
        what: String,
        /// Why, and what to do instead.
        reason: String,
    },
    /// A value that came from outside is not of the form it must have.
    #[error("{what}: expected {expected}, got {got}")]
    Malformed {
        /// What was read.
        what: String,
        /// The form it must have.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// containerd gave no answer; whether the call took effect is unknown.
    #[error("containerd could not be asked ({call}): {reason}")]
    Unreachable {
        /// The call.
        call: &'static str,
        /// What the transport said.
        reason: String,
    },
    /// containerd answered with a refusal.
    #[error("containerd refused {call}: {code:?}: {message}")]
    Containerd {
        /// The call.
        call: &'static str,
        /// Its status.
        code: tonic::Code,
        /// Its words.
        message: String,
    },
    /// An image is not there and could not be made to be.
    #[error("service {service}: image {image}")]
    Image {
        /// Service that needs it.
        service: String,
        /// The reference.
        image: String,
        /// Why.
        #[source]
        source: Box<ImageError>,
    },
    /// A network could not be made.
    #[error("container {container}: network")]
    Network {
        /// Container that joins it.
        container: String,
        /// Why.
        #[source]
        source: NetworkError,
    },
    /// A container of the project failed.
    #[error(transparent)]
    Container(Box<ContainerFailure>),
    /// A file of the runtime could not be read or written.
    #[error("{path}: {doing}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The runtime is being stopped.
    #[error("the project is being stopped")]
    Stopping,
}

/// A container that ended, or never became healthy, while something waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("container {container} of service {service} {how}{}", tail_text(.last_lines))]
pub struct ContainerFailure {
    /// Service.
    pub service: String,
    /// Container.
    pub container: String,
    /// What happened.
    pub how: FailureKind,
    /// Its last log lines, oldest first.
    pub last_lines: Vec<String>,
}

/// What happened to a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailureKind {
    /// It ended with a code that is not zero.
    #[error("exited with code {code}{}", if *.oom { " (out of memory)" } else { "" })]
    Exited {
        /// Exit code; 128 + signal when a signal ended it.
        code: u32,
        /// Whether the kernel's memory killer ended it.
        oom: bool,
    },
    /// Its health check failed as often as it may.
    #[error("is unhealthy")]
    Unhealthy,
    /// It could not be started.
    #[error("could not be started: {reason}")]
    NotStarted {
        /// What the runtime said.
        reason: String,
    },
}

fn tail_text(lines: &[String]) -> String {
    if lines.is_empty() {
        String::new()
    } else {
        format!("; last lines:\n  {}", lines.join("\n  "))
    }
}

impl RuntimeError {
    /// Wraps an I/O error with the file it was about.
    pub(crate) fn io(path: impl Into<PathBuf>, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, doing, source }
    }

    /// Whether asking again later may give another answer.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Image { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// The error and everything under it in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }
}
