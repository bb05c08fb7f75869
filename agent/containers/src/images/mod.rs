//! Images on this machine: name to configuration and unpacked layers.

mod local;

pub(crate) use local::find;

/// Registries, mirrors, credentials.
#[derive(Clone, Debug, Default)]
pub struct RegistryConfig {}

/// Why an image is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is not on this machine.
    #[error("not on this machine, and could not be fetched")]
    Missing,
    /// containerd did not answer.
    #[error("containerd could not be asked: {0}")]
    Unreachable(String),
    /// Its manifest or configuration is not of the form it must have.
    #[error("expected {expected}, got {got}")]
    Malformed {
        /// The form.
        expected: &'static str,
        /// What came.
        got: String,
    },
}
