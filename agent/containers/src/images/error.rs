//! Why an image is not usable. "It is not there", "you may not have it", "nobody could be asked" and "what came is wrong" stay
//! different, since each needs something else done.

use super::manifest::MalformedDocument;

/// Why an image is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The reference names no digest and the policy asks for one.
    #[error(
        "{image} is not pinned: expected a digest (@sha256:…); pin it, or set allow_mutable_images in the app's manifest"
    )]
    NotPinned {
        /// The reference.
        image: String,
    },
    /// Every registry that was asked answered that it does not have it.
    #[error("{registry} has no {what}; check the name, the tag and that the image was pushed")]
    NotFound {
        /// Registry that was asked last.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// The registry wants other credentials, or none would do.
    #[error("{registry} refused {what} (status {status}): {advice}")]
    Denied {
        /// Registry that refused.
        registry: String,
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// What to do.
        advice: &'static str,
    },
    /// No answer, or one that says "later". Asking again may help.
    #[error("{registry} could not be asked for {what}: {reason}")]
    Unreachable {
        /// Registry that was asked last.
        registry: String,
        /// What was asked for.
        what: String,
        /// What the transport said.
        reason: String,
    },
    /// The host may be asked over TLS only.
    #[error(
        "{host} would be asked over plain http: expected https, or the host on the list of insecure registries"
    )]
    PlainHttp {
        /// Host and port.
        host: String,
    },
    /// Other bytes came than were named.
    #[error("{from} served other bytes for {what}: expected {expected}, got {got}")]
    DigestMismatch {
        /// Who served them.
        from: String,
        /// Which part of the image.
        what: String,
        /// The digest that was named.
        expected: String,
        /// The digest of what came, or what is known of it.
        got: String,
    },
    /// A manifest, an index or a configuration is not of the form it must have.
    #[error("{what} of {image}")]
    Malformed {
        /// The reference.
        image: String,
        /// Which document.
        what: String,
        /// What is wrong with it.
        #[source]
        source: MalformedDocument,
    },
    /// Something is over a bound.
    #[error("{what}: expected at most {limit}, got {got}")]
    TooLarge {
        /// What was counted.
        what: String,
        /// The bound.
        limit: u64,
        /// The count.
        got: u64,
    },
    /// The disk under containerd is full, or would be.
    #[error("no space for {what}: {reason}; make the disk larger or remove images, then try again")]
    NoSpace {
        /// What was being stored.
        what: String,
        /// Needed and free bytes, or containerd's words.
        reason: String,
    },
    /// A setting cannot be used.
    #[error("{what}: expected {expected}, got {got}")]
    Setting {
        /// Which one.
        what: &'static str,
        /// The form it must have.
        expected: &'static str,
        /// What came; never a secret.
        got: String,
    },
    /// containerd did not answer.
    #[error("containerd could not be asked ({call}): {reason}")]
    Containerd {
        /// The call.
        call: &'static str,
        /// What the transport said.
        reason: String,
    },
    /// containerd answered with a refusal.
    #[error("containerd refused {call}: {code:?}: {message}")]
    Refused {
        /// The call.
        call: &'static str,
        /// Its status.
        code: tonic::Code,
        /// Its words.
        message: String,
    },
}

impl ImageError {
    /// Whether asking again later may give another answer.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Containerd { .. })
    }

    /// Which of two failures of two sources says more. What is wrong says more than what is absent.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => 1,
            Self::NotFound { .. } => 2,
            Self::Denied { .. } => 3,
            _ => 4,
        }
    }

    /// Sorts a status of containerd.
    pub(crate) fn of(call: &'static str, status: &tonic::Status) -> Self {
        use tonic::Code;
        let message = status.message();
        if message.contains("no space left on device") || message.contains("disk quota exceeded") {
            return Self::NoSpace {
                what: call.to_owned(),
                reason: message.to_owned(),
            };
        }
        let transport = matches!(
            status.code(),
            Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable
        ) || (status.code() == Code::Unknown && std::error::Error::source(status).is_some());
        if transport {
            return Self::Containerd {
                call,
                reason: format!("{:?}: {message}", status.code()),
            };
        }
        Self::Refused {
            call,
            code: status.code(),
            message: message.to_owned(),
        }
    }
}
