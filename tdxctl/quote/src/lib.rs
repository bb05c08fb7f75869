//! A trust domain as the software inside it sees it: quotes, RTMR3, its event log, a sealing key where there is one.
//!
//! [`ConfigfsTd`] speaks to the kernel of a TDX guest; `SocketTd` and `PortTd` to a simulated TD, over a unix socket and, inside a
//! VM, over a virtio-serial port. Both are of the feature `simulated`, which a production image is built without. All bound what
//! they read and refuse an answer that is not about the request: a quote made by another provider or overtaken by another
//! writer, a register that did not move as it should. Nothing here verifies a quote.
#![forbid(unsafe_code)]

mod configfs;
mod error;
mod limits;
mod log_file;
pub mod message;
#[cfg(feature = "simulated")]
mod port;
mod rtmr;
#[cfg(feature = "simulated")]
mod simulated;
#[cfg(feature = "simulated")]
mod socket;

pub use configfs::{ConfigfsTd, Entries, KernelEntries, TsmPaths};
pub use error::TdError;
pub use limits::{MAX_EVENT_LOG, MAX_EVENT_NAME, MAX_EVENTS, MAX_LINE, MAX_QUOTE};
#[cfg(feature = "simulated")]
pub use {
    port::{PortLink, PortTd},
    simulated::{Link, Simulated},
    socket::{SocketLink, SocketTd},
};

use kms_types::{EventLogEntry, OsMeasurement, ReportData, Rtmr};
use zeroize::Zeroizing;

/// What a TD's registers hold now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdRegisters {
    /// MRTD and RTMR0 to 2.
    pub os: OsMeasurement,
    /// RTMR3.
    pub rtmr3: Rtmr,
}

/// A trust domain, from inside.
pub trait Td: Send + Sync {
    /// A quote over `report_data`, in Intel's format.
    ///
    /// # Errors
    /// When the platform gives none, or one that is not for this request.
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError>;

    /// Extends RTMR3 with a runtime event and records it in the log.
    ///
    /// # Errors
    /// When the event is above a bound, or register or log cannot be written.
    fn extend(&self, name: &str, payload: &[u8]) -> Result<EventLogEntry, TdError>;

    /// Every event of RTMR3 so far, in order.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError>;

    /// What its registers hold now, without a quote.
    ///
    /// # Errors
    /// [`TdError::Unsupported`] where only a quote tells; otherwise when the registers cannot be read.
    fn registers(&self) -> Result<TdRegisters, TdError> {
        Err(TdError::Unsupported {
            what: "registers without a quote",
        })
    }

    /// A secret that only this TD, with these measurements, on this platform gets again.
    ///
    /// # Errors
    /// [`TdError::Unsupported`] on TDX hardware, which has no such key.
    fn sealing_key(&self, context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError>;
}

/// Opens the TD that `spec` names: `tsm` for the kernel's; `socket:PATH` and `port:NAME` for a simulated one, by a unix socket and by
/// a virtio-serial port.
///
/// # Errors
/// When `spec` is none of these or this build has no part in simulated TDs, and when nobody answers.
pub fn open(spec: &str) -> Result<Box<dyn Td>, TdError> {
    let actual = || spec.chars().take(64).collect::<String>();
    match spec.split_once(':') {
        None if spec == "tsm" => Ok(Box::new(ConfigfsTd::new(TsmPaths::default()))),
        #[cfg(feature = "simulated")]
        Some(("socket", path)) if !path.is_empty() => Ok(Box::new(SocketTd::connect(path)?)),
        #[cfg(feature = "simulated")]
        Some(("port", name)) if !name.is_empty() => Ok(Box::new(PortTd::open(name)?)),
        // G7: a production guest that took a software TD would attest to whatever its host says.
        #[cfg(not(feature = "simulated"))]
        Some(("socket" | "port", _)) => Err(TdError::HardwareOnly { actual: actual() }),
        _ => Err(TdError::Spec { actual: actual() }),
    }
}

#[cfg(all(test, not(feature = "simulated")))]
mod tests {
    use super::*;

    #[test]
    fn g7_a_production_build_speaks_to_no_software_td() {
        for spec in ["socket:/run/td.sock", "port:org.kedge.td.setup"] {
            assert!(matches!(open(spec), Err(TdError::HardwareOnly { .. })), "{spec}");
        }
    }
}
