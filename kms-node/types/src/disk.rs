//! How old an instance's disk is, and of which of its copies. Refuses unknown fields.

use crate::DiskMark;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How often a disk was counted on, and the mark that was drawn the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskGeneration {
    /// How often.
    pub number: u64,
    /// Of which copy.
    pub mark: DiskMark,
}

impl DiskGeneration {
    /// Size of the encoding.
    pub const LEN: usize = 24;

    /// u64 number ‖ mark.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let from = self.number.to_be_bytes().into_iter().chain(self.mark.to_bytes());
        for (to, from) in out.iter_mut().zip(from) {
            *to = from;
        }
        out
    }

    /// Whether a disk with this generation goes on from the one that is `known`: it is later, or that very one.
    #[must_use]
    pub fn follows(&self, known: &Self) -> bool {
        self.number > known.number
            || self.number == known.number && (self.mark == known.mark || known.mark == DiskMark::ZERO)
    }
}

impl fmt::Display for DiskGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (mark {})", self.number, self.mark)
    }
}
