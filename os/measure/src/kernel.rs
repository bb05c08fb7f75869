//! The kernel as firmware gets it from QEMU. From 10.2 on a TD gets the file as it is (QEMU commit a7542a38f399, "x86/loader: Don't
//! update kernel header for CoCo VMs"); before, the loader filled in the header of the bzImage (Linux, "The Linux/x86 Boot Protocol"), and
//! RTMR1 depended on the sizes of memory and initrd.
//!
//! Refuses files that are no bzImage, or an initrd that has no place.

use crate::{
    bytes::{array, u16_at, u32_at},
    pe::{PeError, authenticode_sha384},
    shape::Memory,
};

/// "HdrS" at 0x202.
const MAGIC: [u8; 4] = *b"HdrS";
/// What QEMU keeps free for ACPI tables below the end of low memory.
const ACPI_DATA: u64 = 0x2_0000 + 0x8000;
/// Highest address of an initrd for kernels that do not say: 55 MiB.
const INITRD_MAX_OLD: u64 = 0x37ff_ffff;
/// Where the real-mode part and the command line go.
const REAL_MODE: u32 = 0x1_0000;
const COMMAND_LINE: u32 = 0x2_0000;
/// First protocol that this loader's measurement knows (2.06: Linux 2.6.22).
const PROTOCOL_MIN: u16 = 0x0206;
/// First protocol with flags for 64-bit loaders.
const PROTOCOL_XLOADFLAGS: u16 = 0x020c;
const LOADED_HIGH: u8 = 1;
const CAN_USE_HEAP: u8 = 0x80;
/// XLF_CAN_BE_LOADED_ABOVE_4G.
const ABOVE_4G: u16 = 2;

/// Why a kernel cannot be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// Its header is not the one of a bzImage.
    #[error("kernel: {what}: expected {expected}, got {actual}")]
    Header {
        /// Which field.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The initrd does not fit below the kernel's limit.
    #[error("initrd: expected at most {max} bytes for this kernel and memory, got {actual}")]
    Initrd {
        /// What fits.
        max: u64,
        /// What came.
        actual: u64,
    },
    /// It is no program for firmware to start.
    #[error("kernel: no EFI stub")]
    Pe(#[from] PeError),
}

/// Authenticode digest of the kernel as QEMU hands it to a TD, from 10.2 on.
///
/// # Errors
/// When it is no bzImage with an EFI stub.
pub fn kernel_digest(kernel: &[u8]) -> Result<[u8; 48], KernelError> {
    protocol(kernel)?;
    Ok(authenticode_sha384(kernel)?)
}

/// The same as QEMU before 10.2 did it: with a header that is filled in.
///
/// # Errors
/// When it is no bzImage with an EFI stub, or the initrd has no place.
pub fn filled_in_kernel_digest(
    kernel: &[u8],
    initrd_len: u64,
    memory: Memory,
) -> Result<[u8; 48], KernelError> {
    Ok(authenticode_sha384(&patched(kernel, initrd_len, memory)?)?)
}

/// Version of the boot protocol, of a kernel that can be loaded high.
fn protocol(kernel: &[u8]) -> Result<u16, KernelError> {
    if array(kernel, 0x202) != Some(MAGIC) {
        return Err(header("magic at 0x202", "HdrS", "other bytes"));
    }
    let protocol = u16_at(kernel, 0x206).unwrap_or_default();
    if protocol < PROTOCOL_MIN {
        return Err(header(
            "boot protocol",
            format!("{PROTOCOL_MIN:#x} or later"),
            format!("{protocol:#x}"),
        ));
    }
    let flags = kernel.get(0x211).copied().unwrap_or_default();
    if flags & LOADED_HIGH == 0 {
        return Err(header("load flags", "LOADED_HIGH", format!("{flags:#x}")));
    }
    Ok(protocol)
}

/// The kernel with its header filled in.
fn patched(kernel: &[u8], initrd_len: u64, memory: Memory) -> Result<Vec<u8>, KernelError> {
    let protocol = protocol(kernel)?;
    let flags = kernel.get(0x211).copied().unwrap_or_default();
    let mut patched = kernel.to_vec();
    let mut put = |offset: usize, value: &[u8]| {
        if let Some(place) = patched.get_mut(offset..offset + value.len()) {
            place.copy_from_slice(value);
        }
    };
    // Type of loader: QEMU, version 0.
    put(0x210, &[0xb0]);
    put(0x211, &[flags | CAN_USE_HEAP]);
    put(0x224, &(COMMAND_LINE - REAL_MODE - 0x200).to_le_bytes());
    put(0x228, &COMMAND_LINE.to_le_bytes());
    if initrd_len > 0 {
        let (address, length) = initrd_place(kernel, protocol, initrd_len, memory)?;
        put(0x218, &address.to_le_bytes());
        put(0x21c, &length.to_le_bytes());
    }
    Ok(patched)
}

fn initrd_place(
    kernel: &[u8],
    protocol: u16,
    length: u64,
    memory: Memory,
) -> Result<(u32, u32), KernelError> {
    let flags = u16_at(kernel, 0x236).unwrap_or_default();
    let wanted = if protocol >= PROTOCOL_XLOADFLAGS && flags & ABOVE_4G != 0 {
        u64::from(u32::MAX)
    } else {
        u32_at(kernel, 0x22c).map_or(INITRD_MAX_OLD, u64::from)
    };
    let end = memory.below_4g().saturating_sub(ACPI_DATA);
    let max = if wanted >= end {
        end.saturating_sub(1)
    } else {
        wanted
    };
    let address = max.checked_sub(length).map(|address| address & !0xfff);
    match (address.map(u32::try_from), u32::try_from(length)) {
        (Some(Ok(address)), Ok(length)) => Ok((address, length)),
        _ => Err(KernelError::Initrd { max, actual: length }),
    }
}

fn header(what: &'static str, expected: impl ToString, actual: impl ToString) -> KernelError {
    KernelError::Header {
        what,
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}
