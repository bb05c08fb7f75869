//! The log in which firmware and kernel stub keep what they measured into MRTD and the RTMRs: the ACPI table that names it and the
//! log itself (ACPI 6.5 section 5.2.34, CC Event Log; UEFI 2.11 section 38.4; TCG PC Client Platform Firmware Profile section 10).
//!
//! The host can write both, so nothing here is proof: a log says what a register is made of, the register says whether that is
//! so. Refuses a log without SHA-384, lengths that lead outside, events above a bound, and bytes after the last event that are no
//! filling.

mod describe;
mod log;
mod table;

pub use log::{CcEvent, CcLog, CcRegister, MAX_CCEL, MAX_CCEL_EVENTS};
pub use table::{CCEL_TABLE_LEN, CcType, CcelTable};

/// Why bytes are no event log, or no table that names one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CcelError {
    /// A field is not what it should be.
    #[error("CC event log: {what} at byte {at}: expected {expected}, got {actual}")]
    Field {
        /// Which field.
        what: &'static str,
        /// Where it begins.
        at: usize,
        /// What would do.
        expected: String,
        /// What came.
        actual: String,
    },
    /// A field reaches beyond the end.
    #[error("CC event log: {what} at byte {at}: expected {expected} bytes, got {actual} to the end")]
    Cut {
        /// Which field.
        what: &'static str,
        /// Where it begins.
        at: usize,
        /// Its length.
        expected: usize,
        /// What is left.
        actual: usize,
    },
    /// A bound is passed.
    #[error("CC event log: {what}: expected at most {max}, got {actual} or more")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
        /// What came.
        actual: usize,
    },
}

impl CcelError {
    fn field(what: &'static str, at: usize, expected: impl ToString, actual: impl ToString) -> Self {
        Self::Field {
            what,
            at,
            expected: expected.to_string(),
            actual: actual.to_string(),
        }
    }
}
