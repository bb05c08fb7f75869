//! Time since the machine booted, and which boot it is. The wall clock is the host's to set; this one only goes on.

use std::{fs, io, time::Duration};

/// A moment of one boot.
pub trait BootClock: Send + Sync {
    /// Time since the boot.
    ///
    /// # Errors
    /// When the system does not say.
    fn now(&self) -> io::Result<Duration>;

    /// Which boot it is.
    ///
    /// # Errors
    /// When the system does not say.
    fn boot_id(&self) -> io::Result<String>;
}

/// The kernel's.
#[derive(Debug, Clone, Copy)]
pub struct KernelClock;

impl BootClock for KernelClock {
    fn now(&self) -> io::Result<Duration> {
        // G8: no file is opened for it, so that no lack of descriptors ends the lease.
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
        Ok(Duration::from(now))
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
            .trim()
            .to_owned())
    }
}
