//! What can go wrong between software and its trust domain.

use kms_types::{BlobTooLong, Rtmr};
use std::{io, path::Path};

/// Why a TD gave no answer, or one that was refused.
#[derive(Debug, thiserror::Error)]
pub enum TdError {
    /// A file or socket did not do its part.
    #[error("{path}: could not be used")]
    Io {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel makes no reports.
    #[error("{path}: expected the kernel's reports, got none")]
    NoReports {
        /// Folder of the entries.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel shows no registers.
    #[error("{path}: expected a register of the TDX guest driver, got no such file")]
    NoRegister {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A simulated TD was named to a build that speaks to hardware only.
    #[error("TD: expected \"tsm\", since this build speaks to TDX hardware only, got {actual:?}")]
    HardwareOnly {
        /// What came.
        actual: String,
    },
    /// `open` was given something else than its forms.
    #[error("TD: expected \"tsm\", \"socket:PATH\" or \"port:NAME\", got {actual:?}")]
    Spec {
        /// What came.
        actual: String,
    },
    /// A value is above its bound.
    #[error("{what}: expected at most {max} bytes, got {actual} or more")]
    TooLong {
        /// Which value.
        what: String,
        /// The bound.
        max: usize,
        /// What came.
        actual: usize,
    },
    /// A value that must not be empty is.
    #[error("{what}: expected at least one byte, got none")]
    Empty {
        /// Which value.
        what: &'static str,
    },
    /// The event's payload is above its bound.
    #[error(transparent)]
    Payload(#[from] BlobTooLong),
    /// Reports are made by something that is not a TDX guest.
    #[error("{path}: expected {expected:?}, got {actual:?}")]
    Provider {
        /// The file.
        path: String,
        /// The provider of TDX guests.
        expected: &'static str,
        /// What the kernel named.
        actual: String,
    },
    /// Somebody else wrote to the report entry between our writing and our reading.
    #[error("{path}: expected {expected}, got {actual}")]
    Generation {
        /// The file.
        path: String,
        /// The generation after our one write.
        expected: String,
        /// What the kernel counted.
        actual: String,
    },
    /// The register holds another value than the extension gives.
    #[error("{path} after the extension: expected {expected}, got {actual}")]
    Register {
        /// The file.
        path: String,
        /// What the extension gives.
        expected: Box<Rtmr>,
        /// What the register holds.
        actual: Box<Rtmr>,
    },
    /// A kernel file holds something of another shape.
    #[error("{path}: expected {expected}, got {actual}")]
    Shape {
        /// The file.
        path: String,
        /// What should be there.
        expected: &'static str,
        /// What is.
        actual: String,
    },
    /// The event log would hold more than a verifier reads.
    #[error("event log: expected at most {max} events, got {actual}")]
    TooManyEvents {
        /// The bound.
        max: usize,
        /// What it would hold.
        actual: usize,
    },
    /// The event log file is damaged.
    #[error("event log: line {line} is not an event")]
    Log {
        /// Line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The other side of the socket speaks another protocol.
    #[error("TD socket: expected {expected}, got {actual}")]
    Protocol {
        /// What should have come.
        expected: &'static str,
        /// What came.
        actual: String,
    },
    /// The simulated TD refused.
    #[error("simulated TD: {message}")]
    Remote {
        /// Its words.
        message: String,
    },
    /// This kind of TD cannot do that.
    #[error("{what}: not supported by this kind of TD")]
    Unsupported {
        /// What was asked.
        what: &'static str,
    },
}

impl TdError {
    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoReports { .. } => {
                "inside a TDX guest: load the tdx_guest module and mount configfs at /sys/kernel/config; elsewhere: name a simulated TD, --td socket:PATH"
            }
            Self::NoRegister { .. } => {
                "boot Linux 6.16 or later with the tdx_guest driver: older kernels show no registers and extend none"
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "start it as root: reports and registers of the kernel are root's"
            }
            Self::Io { .. } if self.is_busy() => {
                "the kernel still works on another report; try again, and look at the host's quote service if it stays so"
            }
            Self::Io { .. } => {
                "check --td: tsm needs a TDX guest kernel with configfs-tsm, socket:PATH a simulated TD that runs"
            }
            Self::Spec { .. } => "give --td tsm, --td socket:PATH, or in a development VM --td port:NAME",
            Self::HardwareOnly { .. } => {
                "boot the development image for a software TD; a production image has no way to one"
            }
            Self::TooLong { .. } | Self::Empty { .. } | Self::Payload(_) | Self::TooManyEvents { .. } => {
                "stay within the bounds that verifiers have"
            }
            Self::Provider { .. } => {
                "this is another kind of confidential machine, or none; Kedge runs on TDX"
            }
            Self::Generation { .. } => {
                "another process writes to this report entry; find it: nothing but this program should"
            }
            Self::Register { .. } => {
                "another process extends the register; start the VM again and find it: the log no longer replays"
            }
            Self::Shape { .. } => {
                "this kernel's interface is not the one that is documented; report it with the kernel's version"
            }
            Self::Log { .. } => "the log in the folder of the boot is damaged; start the VM again",
            Self::Protocol { .. } => "the program at this socket is no simulated TD of this version",
            Self::Remote { .. } => "see the log of the simulated TD",
            Self::Unsupported { .. } => "ask for it from the other kind of TD",
        }
    }

    /// The kernel could not now, and may in a moment.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock
        ))
    }

    /// Names the file in front of what the system said.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, source }
    }

    /// Refuses more than `max` bytes.
    pub(crate) fn bound(what: &str, max: usize, actual: usize) -> Result<(), Self> {
        if actual > max {
            return Err(Self::TooLong {
                what: what.to_owned(),
                max,
                actual,
            });
        }
        Ok(())
    }
}
