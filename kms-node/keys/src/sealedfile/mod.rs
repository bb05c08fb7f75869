//! Files sealed to an app or to one of its instances: whoever gets that app's keys from the KMS again opens them, nobody else does.
//!
//! Refuses a file of another form, app, instance, epoch or context before its key is used, and every changed bit. What a host sets
//! back to an older sealed file is not noticed here.

mod format;
mod key;

pub use format::{MAX_SEALED_CONTEXT, MAX_SEALED_FILE, MAX_SEALED_TEXT, SealedFile};
pub use key::{SealingKey, instance_seal_secret};

use kms_types::{AppId, InstanceId, KeyEpoch};

/// Whom a file is sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealScope {
    /// Every instance of the app.
    App,
    /// One instance.
    Instance,
}

impl SealScope {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Instance => "instance",
        }
    }
}

/// Why nothing was sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealedFileError {
    /// The bytes are no sealed file of this version.
    #[error("sealed file: {what}: expected {expected}, got {actual}")]
    Malformed {
        /// Which field.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What came.
        actual: String,
    },
    /// Something is above its bound.
    #[error("{what}: expected at most {max} bytes, got {actual}")]
    TooLong {
        /// What.
        what: &'static str,
        /// The bound.
        max: usize,
        /// What came.
        actual: usize,
    },
    /// It is sealed to the other scope than the key is of.
    #[error("sealed file: expected a key of the {}, got one of the {}", expected.as_str(), actual.as_str())]
    Scope {
        /// What the file needs.
        expected: SealScope,
        /// What the key is of.
        actual: SealScope,
    },
    /// It is sealed to another app.
    #[error("sealed file: expected app {expected}, got app {actual}")]
    App {
        /// Whose the file is.
        expected: AppId,
        /// Whose the key is.
        actual: AppId,
    },
    /// It is sealed to another instance.
    #[error("sealed file: expected instance {expected}, got instance {actual}")]
    Instance {
        /// Whose the file is.
        expected: InstanceId,
        /// Whose the key is.
        actual: InstanceId,
    },
    /// It is sealed under another epoch.
    #[error("sealed file: expected keys of epoch {expected}, got keys of epoch {actual}")]
    Epoch {
        /// What the file needs.
        expected: KeyEpoch,
        /// What the key is of.
        actual: KeyEpoch,
    },
    /// It was sealed for another purpose.
    #[error("sealed file: expected context {expected:?}, got {actual:?}")]
    Context {
        /// What the file says, as far as it is text.
        expected: String,
        /// What the caller means.
        actual: String,
    },
    /// Not one bit of it may be believed.
    #[error("sealed file: expected bytes that this key sealed, got others")]
    Tag,
    /// No key could be derived.
    #[error(transparent)]
    Key(#[from] crate::KeyError),
}

impl SealedFileError {
    /// True when the file, or what should go into one, is not of the right form: nobody was refused anything.
    pub const fn is_malformed(&self) -> bool {
        matches!(self, Self::Malformed { .. } | Self::TooLong { .. })
    }
}
