//! What a container may use: processor, memory, processes, devices, capabilities, signals, log space.

use crate::{names::NameError, units::ByteSize, units::MilliCpus};
use serde::Serialize;
use std::{fmt, str::FromStr};

/// Resource limits, from `deploy.resources.limits` or the older keys of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Processor time.
    pub cpus: Option<MilliCpus>,
    /// Memory.
    pub memory: Option<ByteSize>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// One entry of `ulimits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ulimit {
    /// Soft limit; `u64::MAX` is unlimited (`-1` in the file).
    pub soft: u64,
    /// Hard limit; `u64::MAX` is unlimited.
    pub hard: u64,
}

/// Names `ulimits` may have; with `RLIMIT_` before the upper case it is the kernel's name.
pub const ULIMIT_NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// A Linux capability, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Capability(&'static str);

const CAPABILITIES: [&str; 42] = [
    "ALL",
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

impl Capability {
    /// The kernel's name, `CAP_…`; `ALL` for all.
    pub fn as_str(&self) -> &'static str {
        self.0
    }

    /// Whether it stands for every capability.
    pub fn is_all(&self) -> bool {
        self.0 == "ALL"
    }

    /// Every capability there is, without `ALL`.
    pub fn every() -> impl Iterator<Item = Self> {
        CAPABILITIES.into_iter().skip(1).map(Self)
    }
}

impl FromStr for Capability {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let upper = text.to_ascii_uppercase();
        let known = CAPABILITIES
            .into_iter()
            .find(|name| *name == upper || name.strip_prefix("CAP_") == Some(&upper));
        known
            .map(Self)
            .ok_or_else(|| NameError::new("a Linux capability such as NET_ADMIN, or ALL", text))
    }
}

/// A device handed into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Path outside.
    pub source: String,
    /// Path inside.
    pub target: String,
    /// Some of `r`, `w`, `m`.
    pub permissions: String,
}

/// A signal by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Signal(u8);

const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

impl Signal {
    /// SIGTERM, what a container gets when nothing else is asked for.
    pub const TERM: Self = Self(15);

    /// The number, 1–64.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = || NameError::new("a signal such as SIGTERM, QUIT, 15, SIGRTMIN+3", text);
        if let Ok(number) = text.parse::<u8>() {
            return Some(number)
                .filter(|number| (1..=64).contains(number))
                .map(Self)
                .ok_or_else(fail);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(offset) = name.strip_prefix("RTMIN") {
            let offset = match offset.strip_prefix('+') {
                None if offset.is_empty() => Some(0),
                None => None,
                Some(digits) => digits.parse::<u8>().ok().filter(|offset| *offset <= 30),
            };
            return offset.map(|offset| Self(34 + offset)).ok_or_else(fail);
        }
        let numbers = 1_u8..;
        let found = SIGNALS.iter().zip(numbers).find(|(known, _)| **known == name);
        found.map(|(_, number)| Self(number)).ok_or_else(fail)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Rotation of a container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Logging {
    /// Bytes of one file; absent: the runtime's own bound.
    pub max_size: Option<ByteSize>,
    /// Files kept; absent: the runtime's own bound.
    pub max_file: Option<u32>,
}
