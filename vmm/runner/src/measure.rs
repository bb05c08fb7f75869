//! What the registers of a boot are: the very files and arguments QEMU is given, measured by `td-measure`.

use crate::{AcpiTables, Image, ImageFile, RunnerError, ToolRoot, VmConfig};
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

    /// Every event of the registers of a VM, its ACPI tables asked of QEMU.
    ///
    /// # Errors
    /// When the files cannot be booted so, or QEMU does not give the tables.
    pub fn measure(&self, tools: &ToolRoot, config: &VmConfig) -> Result<MeasuredBoot, RunnerError> {
        let tables = AcpiTables::read(tools, &self.image, config)?;
        let measurer = Measurer::new(BootFiles {
            firmware: &self.firmware,
            kernel: &self.kernel,
            initrd: &self.initrd,
            command_line: self.image.command_line(),
        })?;
        Ok(measurer.boot(config.shape.memory(), &tables.digests())?)
    }
}
