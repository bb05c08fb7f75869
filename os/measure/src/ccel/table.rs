//! The ACPI table CCEL: which kind of machine wrote a log, how long its area is and where. Refuses another table, another length
//! and a sum that is not zero.

use super::CcelError;
use crate::bytes::{array, u32_at, u64_at};

/// Bytes of the table.
pub const CCEL_TABLE_LEN: usize = 56;

/// Which kind of confidential machine wrote the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CcType {
    /// AMD SEV.
    Sev,
    /// Intel TDX.
    Tdx,
    /// Another.
    Other(u8),
}

/// The table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CcelTable {
    /// Kind of machine.
    pub cc_type: CcType,
    /// Its kind within that.
    pub cc_subtype: u8,
    /// Bytes of the area of the log.
    pub log_length: u64,
    /// Its physical address.
    pub log_address: u64,
}

impl CcelTable {
    /// Reads the table.
    ///
    /// # Errors
    /// When the bytes are not exactly one CCEL table.
    pub fn parse(bytes: &[u8]) -> Result<Self, CcelError> {
        if bytes.len() != CCEL_TABLE_LEN {
            return Err(CcelError::field(
                "table",
                0,
                "56 bytes",
                format!("{} bytes", bytes.len()),
            ));
        }
        let signature = array::<4>(bytes, 0).unwrap_or_default();
        if signature != *b"CCEL" {
            return Err(CcelError::field("signature", 0, "CCEL", hex(&signature)));
        }
        let length = u32_at(bytes, 4).unwrap_or_default();
        if usize::try_from(length) != Ok(CCEL_TABLE_LEN) {
            return Err(CcelError::field("length", 4, CCEL_TABLE_LEN, length));
        }
        let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        if sum != 0 {
            return Err(CcelError::field("checksum", 9, "a sum of 0", sum));
        }
        let [kind, cc_subtype] = array::<2>(bytes, 36).unwrap_or_default();
        Ok(Self {
            cc_type: match kind {
                1 => CcType::Sev,
                2 => CcType::Tdx,
                other => CcType::Other(other),
            },
            cc_subtype,
            log_length: u64_at(bytes, 40).unwrap_or_default(),
            log_address: u64_at(bytes, 48).unwrap_or_default(),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
