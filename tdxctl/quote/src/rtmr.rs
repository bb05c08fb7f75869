//! Registers through the kernel's measurement files (kernel documentation, ABI/testing/sysfs-devices-virtual-misc-tdx_guest):
//! reading gives the register, writing 48 bytes to one of the run-time registers extends it. Refuses values of another length, and
//! to go on when the register did not move as it should.

use crate::{TdError, TdRegisters, configfs::write, limits::read_bounded};
use kms_types::{EventLogEntry, Mrtd, OsMeasurement, Rtmr};
use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// File of RTMR3.
pub(crate) const RTMR3: &str = "rtmr3:sha384";

/// More than a register, so that a message can say how much there is.
const LONGEST: usize = 4096;

/// Every register of the folder that says what runs here.
pub(crate) fn registers(folder: &Path) -> Result<TdRegisters, TdError> {
    let rtmr = |name| read(&folder.join(name)).map(Rtmr::new);
    Ok(TdRegisters {
        os: OsMeasurement {
            mrtd: Mrtd::new(read(&folder.join("mrtd:sha384"))?),
            rtmr0: rtmr("rtmr0:sha384")?,
            rtmr1: rtmr("rtmr1:sha384")?,
            rtmr2: rtmr("rtmr2:sha384")?,
        },
        rtmr3: rtmr(RTMR3)?,
    })
}

fn read(path: &Path) -> Result<[u8; Rtmr::LEN], TdError> {
    let file = File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => TdError::NoRegister {
            path: path.display().to_string(),
            source,
        },
        _ => TdError::io(path)(source),
    })?;
    let bytes = read_bounded(file, path, LONGEST)?;
    <[u8; Rtmr::LEN]>::try_from(bytes.as_slice()).map_err(|_| TdError::Shape {
        path: path.display().to_string(),
        expected: "48 bytes",
        actual: format!("{} bytes", bytes.len()),
    })
}

pub(crate) struct RtmrFile(PathBuf);

impl RtmrFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Extends the register and reads it back: an extension by someone outside the lock would make the log a lie.
    pub(crate) fn extend(&self, entry: &EventLogEntry) -> Result<(), TdError> {
        let expected = entry.extend(&Rtmr::new(read(&self.0)?));
        write(&self.0, &entry.runtime_digest())?;
        let actual = Rtmr::new(read(&self.0)?);
        if actual != expected {
            return Err(TdError::Register {
                path: self.0.display().to_string(),
                expected: Box::new(expected),
                actual: Box::new(actual),
            });
        }
        Ok(())
    }
}
