//! The TD HOB: the list of memory ranges a VMM hands the firmware, which the firmware measures first of all into RTMR0 (UEFI
//! Platform Initialization Specification, volume 3, hand-off blocks; TDX Virtual Firmware Design Guide, section 4.2).
//!
//! What stands in it follows from the firmware's sections and the amount of memory, so no two amounts of memory look alike.

use crate::{
    shape::Memory,
    tdvf::{SectionKind, Tdvf, TdvfError},
};
use sha2::{Digest, Sha384};

/// Type of accepted memory: EFI_RESOURCE_SYSTEM_MEMORY.
const ACCEPTED: u32 = 0;
/// Type of memory the firmware has to accept: EFI_RESOURCE_MEMORY_UNACCEPTED.
const UNACCEPTED: u32 = 7;
/// Present, initialised, tested.
const ATTRIBUTES: u32 = 7;
const HANDOFF_LEN: u16 = 56;
const RESOURCE_LEN: u16 = 48;
/// Bytes of the block that ends the list.
const END_LEN: u64 = 8;

/// Digest of the TD HOB that QEMU makes for this firmware and memory.
///
/// # Errors
/// When the firmware has not exactly one section for the list, or its sections do not lie in the memory.
pub fn td_hob_digest(tdvf: &Tdvf, memory: Memory) -> Result<[u8; 48], TdvfError> {
    Ok(Sha384::digest(td_hob(tdvf, memory)?).into())
}

/// The list without the block that ends it, which is not measured.
fn td_hob(tdvf: &Tdvf, memory: Memory) -> Result<Vec<u8>, TdvfError> {
    let base = tdvf.only(SectionKind::TdHob)?.address;
    let mut resources = Vec::new();
    let mut resource = |kind: u32, start: u64, length: u64| {
        if length == 0 {
            return;
        }
        resources.extend_from_slice(&3_u16.to_le_bytes());
        resources.extend_from_slice(&RESOURCE_LEN.to_le_bytes());
        resources.extend_from_slice(&[0; 4 + 16]);
        resources.extend_from_slice(&kind.to_le_bytes());
        resources.extend_from_slice(&ATTRIBUTES.to_le_bytes());
        resources.extend_from_slice(&start.to_le_bytes());
        resources.extend_from_slice(&length.to_le_bytes());
    };
    let mut at = 0;
    for (start, size) in accepted(tdvf, memory)? {
        resource(UNACCEPTED, at, start - at);
        resource(ACCEPTED, start, size);
        at = start + size;
    }
    resource(UNACCEPTED, at, memory.below_4g() - at);
    resource(UNACCEPTED, 1 << 32, memory.above_4g());
    let length = u64::from(HANDOFF_LEN) + resources.len() as u64;
    let mut list = Vec::with_capacity(resources.len() + usize::from(HANDOFF_LEN));
    list.extend_from_slice(&1_u16.to_le_bytes());
    list.extend_from_slice(&HANDOFF_LEN.to_le_bytes());
    list.extend_from_slice(&[0; 4]);
    // EFI_HOB_HANDOFF_TABLE_VERSION; boot mode and the four memory addresses stay zero.
    list.extend_from_slice(&9_u32.to_le_bytes());
    list.extend_from_slice(&[0; 4 + 4 * 8]);
    list.extend_from_slice(&(base + length + END_LEN).to_le_bytes());
    list.append(&mut resources);
    Ok(list)
}

/// Ranges of RAM that are accepted from the start, by address.
fn accepted(tdvf: &Tdvf, memory: Memory) -> Result<Vec<(u64, u64)>, TdvfError> {
    let in_ram = |kind| matches!(kind, SectionKind::TdHob | SectionKind::TempMem);
    let mut ranges: Vec<_> = tdvf
        .sections()
        .iter()
        .filter(|section| in_ram(section.kind))
        .map(|section| (section.address, section.size))
        .collect();
    ranges.sort_unstable();
    match ranges.last() {
        Some((start, size)) if start + size > memory.below_4g() => Err(TdvfError::Field {
            what: "memory",
            expected: format!("at least {} bytes below 4 GiB", start + size),
            actual: memory.below_4g().to_string(),
        }),
        _ => Ok(ranges),
    }
}
