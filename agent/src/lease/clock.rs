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
        let text = fs::read_to_string("/proc/uptime")?;
        let seconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| io::Error::other("/proc/uptime: expected seconds"))
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
            .trim()
            .to_owned())
    }
}
