//! The registers of a boot, from the very files and the shape QEMU is given: what the software TD beside it shows. ACPI tables, which
//! only QEMU can make, are an argument. Refuses files that changed since the image was described.

use crate::{Image, ImageFile, RunnerError, Shape};
use kms_types::OsMeasurement;
use sha2::{Digest, Sha256};
use std::{fs::File, io::Read};
use td_measure::{
    AcpiDigests, PageOrder, SectionKind, Tdvf, kernel_digest, mrtd, replay, rtmr0_events, rtmr1_events,
    rtmr2_events, sha384, td_hob_digest,
};

/// Bytes of a part that is measured.
const MAX_PART: u64 = 256 << 20;

fn fault(what: &str, actual: impl ToString) -> RunnerError {
    RunnerError::Image {
        what: what.to_owned(),
        expected: "one that can be measured".to_owned(),
        actual: actual.to_string(),
    }
}

/// MRTD and RTMR0 to 2 of an image on a shape.
///
/// # Errors
/// When a file cannot be read or measured.
pub fn registers(image: &Image, shape: Shape, acpi: &AcpiDigests) -> Result<OsMeasurement, RunnerError> {
    let firmware = read(image, ImageFile::Firmware)?;
    let tdvf = Tdvf::parse(&firmware).map_err(|error| fault("firmware", error))?;
    let volume = tdvf
        .only(SectionKind::ConfigVolume)
        .map_err(|error| fault("firmware", error))?;
    let variables = firmware
        .get(volume.raw.clone())
        .ok_or_else(|| fault("firmware", "a volume outside of the file"))?;
    let hob = td_hob_digest(&tdvf, shape.memory()).map_err(|error| fault("firmware", error))?;
    let (kernel, initrd) = (read(image, ImageFile::Kernel)?, read(image, ImageFile::Initrd)?);
    let kernel = kernel_digest(&kernel, initrd.len() as u64, shape.memory())
        .map_err(|error| fault("kernel and initrd", error))?;
    Ok(OsMeasurement {
        mrtd: mrtd(&firmware, &tdvf, PageOrder::PageByPage),
        rtmr0: replay(&rtmr0_events(hob, sha384(variables), acpi)),
        rtmr1: replay(&rtmr1_events(kernel)),
        rtmr2: replay(&rtmr2_events(image.command_line(), sha384(&initrd))),
    })
}

/// A part, as its description has it.
fn read(image: &Image, part: ImageFile) -> Result<Vec<u8>, RunnerError> {
    let path = image.path(part)?;
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_PART + 1).read_to_end(&mut bytes))
        .map_err(RunnerError::io(&path))?;
    if bytes.len() as u64 > MAX_PART {
        return Err(fault(part.name(), format!("more than {MAX_PART} bytes")));
    }
    image.compare(part, &hex::encode(Sha256::digest(&bytes)))?;
    Ok(bytes)
}
