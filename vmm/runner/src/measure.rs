//! What the registers of a boot are: the very files and arguments QEMU is given, measured by `td-measure`.

use crate::{Accelerator, FwCfg, Image, ImageFile, Platform, RunnerError, Shape, ToolRoot, VmConfig};
use std::fs;
use td_measure::{BootFiles, MeasuredBoot, Measurer};

/// The files of an image in memory.
#[derive(Debug)]
pub struct LoadedImage {
    image: Image,
    firmware: Vec<u8>,
    kernel: Vec<u8>,
    initrd: Vec<u8>,
}

impl LoadedImage {
    /// Reads the measured files. Their sizes are those of the image's description.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(image: Image) -> Result<Self, RunnerError> {
        let read = |part| {
            let path = image.path(part)?;
            fs::read(&path).map_err(RunnerError::io(&path))
        };
        Ok(Self {
            firmware: read(ImageFile::Firmware)?,
            kernel: read(ImageFile::Kernel)?,
            initrd: read(ImageFile::Initrd)?,
            image,
        })
    }

    /// The image.
    #[must_use]
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// What measures boots of the image on this QEMU.
    ///
    /// # Errors
    /// When the firmware cannot be measured.
    pub fn bench<'a>(&'a self, tools: &'a ToolRoot) -> Result<Bench<'a>, RunnerError> {
        let measurer = Measurer::new(BootFiles {
            firmware: &self.firmware,
            kernel: &self.kernel,
            initrd: &self.initrd,
            command_line: self.image.command_line(),
        })?;
        Ok(Bench {
            tools,
            image: self,
            measurer,
        })
    }

    /// Every event of the registers of a VM, its tables asked of QEMU.
    ///
    /// # Errors
    /// When the files cannot be booted so, or QEMU does not give the tables.
    pub fn measure(&self, tools: &ToolRoot, config: &VmConfig) -> Result<MeasuredBoot, RunnerError> {
        self.bench(tools)?.boot_of(config)
    }
}

/// An image and the QEMU it boots on. What no shape changes is hashed once.
#[derive(Debug)]
pub struct Bench<'a> {
    tools: &'a ToolRoot,
    image: &'a LoadedImage,
    measurer: Measurer<'a>,
}

impl<'a> Bench<'a> {
    /// Every event of the registers of a VM of this shape.
    ///
    /// # Errors
    /// When the files cannot be booted so, or QEMU does not give the tables.
    pub fn boot(&self, shape: Shape) -> Result<MeasuredBoot, RunnerError> {
        self.boot_of(&still(shape))
    }

    /// The same with another machine type of QEMU, which no boot of ours has.
    ///
    /// # Errors
    /// As of [`boot`](Self::boot).
    pub fn boot_as(&self, shape: Shape, machine: &str) -> Result<MeasuredBoot, RunnerError> {
        let host = FwCfg::read_as(self.tools, &self.image.image, &still(shape), machine)?;
        Ok(self.measurer.boot(shape.memory(), &host.digests()?)?)
    }

    fn boot_of(&self, config: &VmConfig) -> Result<MeasuredBoot, RunnerError> {
        let host = FwCfg::read(self.tools, &self.image.image, config)?;
        Ok(self.measurer.boot(config.shape.memory(), &host.digests()?)?)
    }

    /// The part that needs no QEMU.
    #[must_use]
    pub const fn measurer(&self) -> &Measurer<'a> {
        &self.measurer
    }

    /// The firmware's bytes.
    #[must_use]
    pub fn firmware(&self) -> &'a [u8] {
        &self.image.firmware
    }
}

/// A VM whose processors never run: QEMU makes the tables before, so who would run them does not matter.
fn still(shape: Shape) -> VmConfig {
    VmConfig {
        platform: Platform::SimVm(Accelerator::Tcg),
        shape,
        data: None,
        forwards: Vec::new(),
    }
}
