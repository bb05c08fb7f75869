//! What a VM is to be: everything a caller chooses, checked. The rest is fixed in [`crate::arguments`].

use crate::RunnerError;
use kms_types::TdConfigId;
use std::{fmt, path::PathBuf, str::FromStr};
use td_measure::Memory;

/// Most vCPUs of a VM: QEMU's q35 takes more, the firmware's tables are only known up to here.
const MAX_VCPUS: u16 = 255;
const MAX_FORWARDS: usize = 64;

/// One VM.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// What makes its registers.
    pub platform: Platform,
    /// Its size.
    pub shape: Shape,
    /// Its data disk, raw; an empty one that ends with the VM when absent.
    pub data: Option<PathBuf>,
    /// TCP ports of this machine's loopback that lead into the VM.
    pub forwards: Vec<Forward>,
}

/// Size of a VM; part of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    vcpus: u16,
    memory: Memory,
}

impl Shape {
    /// A shape.
    ///
    /// # Errors
    /// When there are no vCPUs or too many, or an amount of memory no VM is made with.
    pub fn new(vcpus: u16, memory_mib: u64) -> Result<Self, RunnerError> {
        if vcpus == 0 || vcpus > MAX_VCPUS {
            return Err(RunnerError::Config {
                what: "vCPUs",
                expected: format!("1 to {MAX_VCPUS}"),
                actual: vcpus.to_string(),
            });
        }
        Ok(Self {
            vcpus,
            memory: Memory::mib(memory_mib)?,
        })
    }

    /// Number of vCPUs.
    pub const fn vcpus(self) -> u16 {
        self.vcpus
    }

    /// Memory.
    pub const fn memory(self) -> Memory {
        self.memory
    }

    /// Memory, MiB.
    pub const fn memory_mib(self) -> u64 {
        self.memory.bytes() >> 20
    }
}

/// Where a VM's registers and quotes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// Intel TDX: the processor's.
    Tdx(TdxOptions),
    /// A plain VM with a software TD beside it; development only.
    SimVm(Accelerator),
}

/// What runs a plain VM's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// QEMU itself.
    Tcg,
    /// The kernel and the processor.
    Kvm,
}

/// What a VMM decides about a trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxOptions {
    /// MRCONFIGID: binds the compose document (docs/protocol.md §1); zero binds nothing.
    pub mr_config_id: TdConfigId,
    /// The host's quote generation service. Without one the guest gets reports and no quotes.
    pub quotes: Option<QuoteSocket>,
}

/// Where a quote generation service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuoteSocket {
    /// A unix socket.
    Unix(PathBuf),
    /// A vsock port of the host (its CID is 2).
    Vsock {
        /// Port.
        port: u32,
    },
}

impl FromStr for QuoteSocket {
    type Err = RunnerError;

    fn from_str(text: &str) -> Result<Self, RunnerError> {
        match text.split_once(':') {
            Some(("vsock", port)) => port.parse().ok().map(|port| Self::Vsock { port }),
            Some(("unix", path)) if !path.is_empty() => Some(Self::Unix(path.into())),
            _ => None,
        }
        .ok_or_else(|| RunnerError::Config {
            what: "quote socket",
            expected: "vsock:PORT or unix:PATH".to_owned(),
            actual: text.chars().take(64).collect(),
        })
    }
}

/// A TCP port of this machine's loopback that leads to one of the VM: `HOST:GUEST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Port here.
    pub host: u16,
    /// Port there.
    pub guest: u16,
}

impl FromStr for Forward {
    type Err = RunnerError;

    fn from_str(text: &str) -> Result<Self, RunnerError> {
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
        text.split_once(':')
            .and_then(|(host, guest)| {
                Some(Self {
                    host: port(host)?,
                    guest: port(guest)?,
                })
            })
            .ok_or_else(|| RunnerError::Config {
                what: "forwarded port",
                expected: "HOST:GUEST, both 1 to 65535".to_owned(),
                actual: text.chars().take(64).collect(),
            })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.guest)
    }
}

impl VmConfig {
    /// What no single field shows.
    pub(crate) fn check(&self) -> Result<(), RunnerError> {
        let mut hosts: Vec<u16> = self.forwards.iter().map(|forward| forward.host).collect();
        hosts.sort_unstable();
        let twice = hosts.windows(2).find(|pair| pair.first() == pair.last());
        let fault = |expected: String, actual: String| RunnerError::Config {
            what: "forwarded ports",
            expected,
            actual,
        };
        if let Some([port, ..]) = twice {
            return Err(fault("each host port once".to_owned(), format!("{port} twice")));
        }
        if hosts.len() > MAX_FORWARDS {
            return Err(fault(format!("at most {MAX_FORWARDS}"), hosts.len().to_string()));
        }
        Ok(())
    }
}
