//! A trust domain as the software inside it sees it: quotes, RTMR3, its event log, a sealing key where there is one.
//!
//! [`ConfigfsTd`] speaks to the kernel of a TDX guest, [`SocketTd`] to a simulated TD over a unix socket. Both bound what
//! they read and refuse an answer that is not about the request: a quote made by another provider or overtaken by another
//! writer, a register that did not move as it should. Nothing here verifies a quote.
#![forbid(unsafe_code)]

mod configfs;
mod error;
mod limits;
mod log_file;
pub mod message;
mod rtmr;
mod socket;

pub use configfs::{ConfigfsTd, Entries, KernelEntries, TsmPaths};
pub use error::TdError;
pub use limits::{MAX_EVENT_LOG, MAX_EVENT_NAME, MAX_EVENTS, MAX_LINE, MAX_QUOTE};
pub use socket::SocketTd;

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

/// Opens the TD that `spec` names: `tsm` for the kernel's, `socket:PATH` for a simulated one.
///
/// # Errors
/// When `spec` is neither, or nobody answers at the socket.
pub fn open(spec: &str) -> Result<Box<dyn Td>, TdError> {
    match spec.split_once(':') {
        None if spec == "tsm" => Ok(Box::new(ConfigfsTd::new(TsmPaths::default()))),
        Some(("socket", path)) if !path.is_empty() => Ok(Box::new(SocketTd::connect(path)?)),
        _ => Err(TdError::Spec {
            actual: spec.chars().take(64).collect(),
        }),
    }
}
