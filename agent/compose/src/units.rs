//! Durations, sizes, processor shares and file modes, read exactly: no floating point, and what has no exact value is refused.

use crate::names::NameError;
use serde::Serialize;
use std::{fmt, str::FromStr, time::Duration};

/// Longest duration a file may state: ten years.
pub const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// `text` as digits with at most one point, times `unit`: the exact product or nothing.
fn exact(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || number.ends_with('.') || fraction.len() > 12 {
        return None;
    }
    let digits = |text: &str| match text.is_empty() {
        true => Some(0),
        false if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<u64>().ok(),
        false => None,
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(digits(fraction)?) * u128::from(unit);
    let rest = u64::try_from(part / scale).ok()?;
    (part % scale == 0).then_some(())?;
    digits(whole)?.checked_mul(unit)?.checked_add(rest)
}

/// `1h30m`, `10s`, `1.5s`, `250ms`, `100us`: units from hours to microseconds, each with a number before it.
pub fn duration(text: &str) -> Result<Duration, NameError> {
    let fail = || {
        NameError::new(
            "a duration such as 30s, 1m30s, 500ms (units: h, m, s, ms, us)",
            text,
        )
    };
    let mut rest = text;
    let mut total: u64 = 0;
    if text.is_empty() || text.len() > 64 {
        return Err(fail());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(fail)?;
        let (number, tail) = rest.split_at_checked(end).ok_or_else(fail)?;
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end).ok_or_else(fail)?;
        let unit: u64 = match unit {
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(fail()),
        };
        let part = exact(number, unit).ok_or_else(fail)?;
        total = total.checked_add(part).ok_or_else(fail)?;
        rest = tail;
    }
    let total = Duration::from_nanos(total);
    if total > MAX_DURATION {
        Err(fail())
    } else {
        Ok(total)
    }
}

/// A number of bytes: `64m`, `1.5gb`, `512`, `8KiB`; k, m, g, t are powers of 1024, as Docker reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = || NameError::new("a size such as 512, 64k, 100m, 1.5g (powers of 1024)", text);
        if text.len() > 64 {
            return Err(fail());
        }
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end).ok_or_else(fail)?;
        let unit = match unit.trim_start_matches(' ').to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            _ => return Err(fail()),
        };
        // The kernel's counters are signed.
        let size = exact(number, unit).filter(|size| i64::try_from(*size).is_ok());
        size.map(Self).ok_or_else(fail)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Processor time in thousandths of a processor: `cpus: "0.5"` is 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MilliCpus(pub u32);

impl FromStr for MilliCpus {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // The kernel takes no quota under a hundredth of its period.
        exact(text, 1000)
            .and_then(|milli| u32::try_from(milli).ok())
            .filter(|milli| (10..=1_024_000).contains(milli))
            .map(Self)
            .ok_or_else(|| {
                NameError::new(
                    "a number of processors from 0.01 to 1024, at most three decimals",
                    text,
                )
            })
    }
}

/// Permission bits of a file, written in octal with a leading zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FileMode(pub u32);

impl FromStr for FileMode {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let digits = text.strip_prefix("0o").or_else(|| text.strip_prefix('0'));
        digits
            .and_then(Self::octal)
            .ok_or_else(|| NameError::new("a mode in octal with a leading zero, such as 0440", text))
    }
}

impl FileMode {
    /// Digits that can only be octal, as in the short `tmpfs` options: `mode=1777`.
    pub(crate) fn octal(digits: &str) -> Option<Self> {
        let sound = (1..=5).contains(&digits.len()) && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
        let mode = u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| sound && *mode <= 0o7777);
        mode.map(Self)
    }
}

impl fmt::Debug for FileMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "0{:o}", self.0)
    }
}
