//! One run-time register through the kernel's measurement files (kernel documentation, ABI/testing/sysfs-devices-virtual-misc-tdx_guest):
//! reading gives the register, writing 48 bytes extends it. Refuses to go on when the register did not move as it should.

use crate::{TdError, configfs::write, limits::read_bounded};
use kms_types::{EventLogEntry, Rtmr};
use std::path::PathBuf;

pub(crate) struct RtmrFile(PathBuf);

impl RtmrFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn read(&self) -> Result<Rtmr, TdError> {
        let bytes = read_bounded(&self.0, Rtmr::LEN)?;
        Rtmr::try_from(bytes.as_slice()).map_err(|_| TdError::Shape {
            path: self.0.display().to_string(),
            expected: "48 bytes",
            actual: format!("{} bytes", bytes.len()),
        })
    }

    /// Extends the register and reads it back: an extension by someone outside the lock would make the log a lie.
    pub(crate) fn extend(&self, entry: &EventLogEntry) -> Result<(), TdError> {
        let expected = entry.extend(&self.read()?);
        write(&self.0, &entry.runtime_digest())?;
        let actual = self.read()?;
        if actual != expected {
            return Err(TdError::Register { expected, actual });
        }
        Ok(())
    }
}
