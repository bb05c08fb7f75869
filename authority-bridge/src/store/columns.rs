//! Values as both databases hold them: numbers as BIGINT, bytes as hex. Refuses what this program never wrote.

use super::StoreError;

/// Reads a stored hex value of exactly `N` bytes.
///
/// # Errors
/// When it is anything else.
pub fn stored<const N: usize>(expected: &'static str, text: &str) -> Result<[u8; N], StoreError> {
    let bytes: Option<[u8; N]> = alloy::hex::decode(text).ok().and_then(|b| b.try_into().ok());
    bytes.ok_or_else(|| corrupt(expected, text))
}

/// Writes a number for a BIGINT column.
///
/// # Errors
/// When it is 2^63 or more.
pub fn bigint(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| corrupt("a number below 2^63", &number.to_string()))
}

/// Reads a number from a BIGINT column.
///
/// # Errors
/// When it is negative.
pub fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| corrupt("a number from 0", &number.to_string()))
}

pub(crate) fn corrupt(expected: &'static str, actual: &str) -> StoreError {
    StoreError::Corrupt {
        expected,
        actual: actual.chars().take(80).collect(),
    }
}
