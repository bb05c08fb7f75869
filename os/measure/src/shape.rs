//! The shape of a VM as far as registers depend on it.

/// Memory below which QEMU's q35 keeps everything under the PCI hole.
const SPLIT_FROM: u64 = 0xb000_0000;
/// What q35 leaves below the hole otherwise.
const SPLIT_LOW: u64 = 0x8000_0000;
const MIB: u64 = 1 << 20;
/// Least and most memory of a VM, MiB: one that cannot hold a firmware, and 64 TiB.
const MIB_BOUNDS: std::ops::RangeInclusive<u64> = 64..=64 << 20;

/// Memory of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Memory {
    bytes: u64,
}

/// An amount of memory no VM is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("memory: expected {} to {} MiB, got {actual}", MIB_BOUNDS.start(), MIB_BOUNDS.end())]
pub struct MemoryError {
    /// What came, MiB.
    pub actual: u64,
}

impl Memory {
    /// Memory in MiB.
    ///
    /// # Errors
    /// Below 64 MiB or above 64 TiB.
    pub fn mib(mib: u64) -> Result<Self, MemoryError> {
        if MIB_BOUNDS.contains(&mib) {
            return Ok(Self { bytes: mib * MIB });
        }
        Err(MemoryError { actual: mib })
    }

    /// All of it, bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// What QEMU's q35 puts below 4 GiB, bytes.
    pub const fn below_4g(self) -> u64 {
        if self.bytes >= SPLIT_FROM {
            SPLIT_LOW
        } else {
            self.bytes
        }
    }

    /// What it puts at 4 GiB and above, bytes.
    pub const fn above_4g(self) -> u64 {
        self.bytes - self.below_4g()
    }
}
