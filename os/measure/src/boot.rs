//! A whole boot: every event of every register with the input it comes from, so that two boots can be compared by what differs.

use crate::{
    FirmwareBuild, FwCfgDigests, KernelError, MeasuredEvent, Memory, PageOrder, SectionKind, Tdvf, TdvfError,
    filled_in_kernel_digest, kernel_digest, mrtd, replay, rtmr0_events, rtmr1_events, rtmr2_events, sha384,
    td_hob_digest,
};
use kms_types::{Mrtd, OsMeasurement, Rtmr};

/// The files of an image as QEMU is given them.
#[derive(Debug, Clone, Copy)]
pub struct BootFiles<'a> {
    /// Firmware with TDVF metadata.
    pub firmware: &'a [u8],
    /// bzImage with an EFI stub.
    pub kernel: &'a [u8],
    /// Initial ramdisk.
    pub initrd: &'a [u8],
    /// Kernel command line, without what the firmware adds.
    pub command_line: &'a str,
}

/// What is hashed once for an image, whatever the shape of the VM.
#[derive(Debug, Clone)]
pub struct Measurer<'a> {
    files: BootFiles<'a>,
    build: FirmwareBuild,
    tdvf: Tdvf,
    mrtd: Mrtd,
    config_volume: [u8; 48],
    kernel: [u8; 48],
    rtmr2: Vec<MeasuredEvent>,
}

/// Why a boot cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The firmware.
    #[error(transparent)]
    Firmware(#[from] TdvfError),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// A measured boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredBoot {
    /// Of the firmware's pages.
    pub mrtd: Mrtd,
    /// Events of RTMR0: firmware configuration and virtual hardware.
    pub rtmr0: Vec<MeasuredEvent>,
    /// Events of RTMR1: the kernel and how it is started.
    pub rtmr1: Vec<MeasuredEvent>,
    /// Events of RTMR2: command line and initrd.
    pub rtmr2: Vec<MeasuredEvent>,
}

impl MeasuredBoot {
    /// The registers.
    #[must_use]
    pub fn registers(&self) -> OsMeasurement {
        OsMeasurement {
            mrtd: self.mrtd,
            rtmr0: replay(&self.rtmr0),
            rtmr1: replay(&self.rtmr1),
            rtmr2: replay(&self.rtmr2),
        }
    }

    /// Names of what differs between two boots, register by register; firmware for MRTD.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<(&'static str, &'static str)> {
        let mut all = Vec::new();
        if self.mrtd != other.mrtd {
            all.push(("MRTD", "firmware"));
        }
        let registers = [
            ("RTMR0", &self.rtmr0, &other.rtmr0),
            ("RTMR1", &self.rtmr1, &other.rtmr1),
            ("RTMR2", &self.rtmr2, &other.rtmr2),
        ];
        for (name, mine, others) in registers {
            let pairs = mine.iter().zip(others);
            all.extend(
                pairs
                    .filter(|(mine, other)| mine != other)
                    .map(|(mine, _)| (name, mine.name)),
            );
        }
        all
    }
}

impl<'a> Measurer<'a> {
    /// Reads the firmware's metadata and hashes what does not depend on the VM's shape.
    ///
    /// # Errors
    /// When the firmware has no TDVF metadata or not one configuration volume, or the kernel is none with an EFI stub.
    pub fn new(files: BootFiles<'a>) -> Result<Self, MeasureError> {
        let tdvf = Tdvf::parse(files.firmware)?;
        let build = FirmwareBuild::of(files.firmware);
        let volume = tdvf.only(SectionKind::ConfigVolume)?.raw.clone();
        let config_volume = sha384(files.firmware.get(volume).unwrap_or_default());
        Ok(Self {
            files,
            build,
            mrtd: mrtd(files.firmware, &tdvf, PageOrder::PageByPage),
            config_volume,
            kernel: kernel_digest(files.kernel)?,
            rtmr2: rtmr2_events(build, files.command_line, sha384(files.initrd)),
            tdvf,
        })
    }

    /// RTMR1 as QEMU before 10.2 made it; a boot of ours never has it.
    ///
    /// # Errors
    /// When the kernel cannot be placed in the memory.
    pub fn older_rtmr1(&self, memory: Memory) -> Result<Rtmr, MeasureError> {
        let initrd = self.files.initrd.len() as u64;
        let kernel = filled_in_kernel_digest(self.files.kernel, initrd, memory)?;
        Ok(replay(&rtmr1_events(kernel)))
    }

    /// Measures a boot in a VM with this memory, of which QEMU says this.
    ///
    /// # Errors
    /// When the firmware cannot be placed in the memory.
    pub fn boot(&self, memory: Memory, host: &FwCfgDigests) -> Result<MeasuredBoot, MeasureError> {
        Ok(MeasuredBoot {
            mrtd: self.mrtd,
            rtmr0: rtmr0_events(
                self.build,
                td_hob_digest(&self.tdvf, memory)?,
                self.config_volume,
                host,
            ),
            rtmr1: rtmr1_events(self.kernel),
            rtmr2: self.rtmr2.clone(),
        })
    }
}
