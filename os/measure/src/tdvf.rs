//! Which parts of a firmware file go where in a TD's memory, and which of them are measured: the metadata of Intel's TDX Virtual
//! Firmware Design Guide, section 11, found through the GUIDed table at the end of the file.
//!
//! The layout is read, never assumed: builds of one firmware differ. Refuses files without the table, offsets that leave the
//! file, sections that are not whole pages or lie over each other, and more memory than a firmware could need.

use crate::bytes::{array, slice, u16_at, u32_at, u64_at, usize_at};
use std::ops::Range;

/// Bytes of a firmware file.
pub const MAX_FIRMWARE: usize = 64 << 20;
/// Sections of one firmware.
pub const MAX_SECTIONS: usize = 64;
/// Memory that all sections added before the start may take together.
const MAX_SECTION_MEMORY: u64 = 256 << 20;
/// A page of a TD's memory.
pub(crate) const PAGE: u64 = 4096;

/// 96b582de-1fb2-45f7-baea-a366c55a082d: end of the GUIDed table.
const TABLE_FOOTER: [u8; 16] = [
    0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d,
];
/// e47a6535-984a-4798-865e-4685a7bf8ec2: offset of the metadata, counted from the end of the file.
const TDX_METADATA: [u8; 16] = [
    0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2,
];
/// Bytes between the table and the end of the file: the reset vector.
const RESET_VECTOR: usize = 0x20;
/// Bytes of the length and GUID that end every entry of the table.
const ENTRY_TAIL: usize = 18;
const SECTION_LEN: usize = 32;

/// Why a firmware has no layout that can be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TdvfError {
    /// Too large.
    #[error("firmware: expected at most {MAX_FIRMWARE} bytes, got {actual}")]
    TooLong {
        /// What came.
        actual: usize,
    },
    /// There is no table or no TDX metadata: firmware that was not built for TDX.
    #[error("firmware: expected {what}, and there is none: is it built with TDX support?")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// A field leaves its bounds.
    #[error("firmware: {what}: expected {expected}, got {actual}")]
    Field {
        /// Which field.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What came.
        actual: String,
    },
}

/// What a section is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionKind {
    /// Boot firmware volume: code.
    BootVolume,
    /// Configuration firmware volume: variables as built.
    ConfigVolume,
    /// Where the VMM puts the hand-off blocks.
    TdHob,
    /// Memory the firmware has from the start.
    TempMem,
    /// Memory that is added, and stays.
    PermMem,
    /// A payload, such as a kernel.
    Payload,
    /// Its parameters.
    PayloadParam,
}

/// One section of the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it is for.
    pub kind: SectionKind,
    /// Where its bytes are in the file; empty when it has none.
    pub raw: Range<usize>,
    /// First guest-physical address, a whole page.
    pub address: u64,
    /// Bytes of memory, whole pages.
    pub size: u64,
    /// Its contents are measured into MRTD.
    pub extended: bool,
    /// Its pages are added later, on demand.
    pub augmented: bool,
}

/// The metadata of one firmware file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tdvf {
    sections: Vec<Section>,
}

impl Tdvf {
    /// Reads the metadata of a firmware file.
    ///
    /// # Errors
    /// When there is none, or a field of it cannot be.
    pub fn parse(firmware: &[u8]) -> Result<Self, TdvfError> {
        if firmware.len() > MAX_FIRMWARE {
            return Err(TdvfError::TooLong {
                actual: firmware.len(),
            });
        }
        let start = metadata_offset(firmware)?;
        let header: [u8; 4] = array(firmware, start).ok_or_else(|| outside("metadata", start))?;
        if &header != b"TDVF" {
            return Err(field("signature", "TDVF", format!("{header:02x?}")));
        }
        let version = u32_at(firmware, start + 8).ok_or_else(|| outside("version", start + 8))?;
        if version != 1 {
            return Err(field("metadata version", "1", version));
        }
        let count = usize_at(firmware, start + 12).ok_or_else(|| outside("section count", start + 12))?;
        if count == 0 || count > MAX_SECTIONS {
            return Err(field("section count", format!("1 to {MAX_SECTIONS}"), count));
        }
        let sections = (0..count)
            .map(|index| section(firmware, start + 16 + index * SECTION_LEN))
            .collect::<Result<Vec<_>, _>>()?;
        together(&sections)?;
        Ok(Self { sections })
    }

    /// The sections, in the order of the metadata, which is the order of measurement.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The one section of a kind.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn only(&self, kind: SectionKind) -> Result<&Section, TdvfError> {
        let mut found = self.sections.iter().filter(|section| section.kind == kind);
        match (found.next(), found.next()) {
            (Some(section), None) => Ok(section),
            (first, _) => Err(field(
                "sections",
                format!("one of {kind:?}"),
                if first.is_none() { "none" } else { "several" },
            )),
        }
    }
}

fn field(what: &'static str, expected: impl ToString, actual: impl ToString) -> TdvfError {
    TdvfError::Field {
        what,
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

fn outside(what: &'static str, offset: usize) -> TdvfError {
    field(what, "an offset inside the file", format!("{offset:#x}"))
}

/// Offset of the metadata in the file.
fn metadata_offset(firmware: &[u8]) -> Result<usize, TdvfError> {
    let table = TdvfError::Missing {
        what: "a table of GUIDs before the reset vector",
    };
    let end = firmware
        .len()
        .checked_sub(RESET_VECTOR)
        .ok_or_else(|| table.clone())?;
    let tail = end.checked_sub(ENTRY_TAIL).ok_or_else(|| table.clone())?;
    if slice(firmware, tail + 2, 16) != Some(&TABLE_FOOTER) {
        return Err(table);
    }
    let length = usize::from(u16_at(firmware, tail).ok_or(table)?);
    let stop = end
        .checked_sub(length)
        .ok_or_else(|| field("length of the table", format!("at most {end}"), length))?;
    let mut at = tail;
    while let Some(entry) = at.checked_sub(ENTRY_TAIL).filter(|entry| *entry >= stop) {
        let length = usize::from(u16_at(firmware, entry).ok_or_else(|| outside("table entry", entry))?);
        let body = at
            .checked_sub(length)
            .filter(|body| *body >= stop && length >= ENTRY_TAIL);
        let body = body.ok_or_else(|| field("length of a table entry", "one inside the table", length))?;
        if slice(firmware, entry + 2, 16) == Some(&TDX_METADATA) {
            // The offset counts from the end, so that the file may grow at its front.
            let back = usize_at(firmware, body)
                .filter(|_| length >= ENTRY_TAIL + 4)
                .ok_or_else(|| field("metadata entry", "4 bytes of offset", length - ENTRY_TAIL))?;
            return firmware
                .len()
                .checked_sub(back)
                .ok_or_else(|| field("metadata offset", format!("at most {}", firmware.len()), back));
        }
        at = body;
    }
    Err(TdvfError::Missing {
        what: "TDX metadata in the table of GUIDs",
    })
}

fn section(firmware: &[u8], at: usize) -> Result<Section, TdvfError> {
    let cut = || outside("section", at);
    let offset = usize_at(firmware, at).ok_or_else(cut)?;
    let length = usize_at(firmware, at + 4).ok_or_else(cut)?;
    let address = u64_at(firmware, at + 8).ok_or_else(cut)?;
    let size = u64_at(firmware, at + 16).ok_or_else(cut)?;
    let kind = kind(u32_at(firmware, at + 24).ok_or_else(cut)?)?;
    let attributes = u32_at(firmware, at + 28).ok_or_else(cut)?;
    if attributes & !0b11 != 0 {
        return Err(field(
            "section attributes",
            "MR_EXTEND or PAGE_AUG",
            format!("{attributes:#x}"),
        ));
    }
    let raw = offset..offset.checked_add(length).ok_or_else(cut)?;
    if raw.end > firmware.len() {
        return Err(field(
            "section data",
            format!("at most {}", firmware.len()),
            raw.end,
        ));
    }
    if !address.is_multiple_of(PAGE) || !size.is_multiple_of(PAGE) || address.checked_add(size).is_none() {
        return Err(field(
            "section memory",
            "whole pages",
            format!("{size:#x} bytes at {address:#x}"),
        ));
    }
    if length as u64 > size {
        return Err(field("section memory", format!("at least {length} bytes"), size));
    }
    let (extended, augmented) = (attributes & 1 != 0, attributes & 2 != 0);
    if augmented && (extended || length != 0) {
        return Err(field("augmented section", "no contents", length));
    }
    Ok(Section {
        kind,
        raw,
        address,
        size,
        extended,
        augmented,
    })
}

fn kind(value: u32) -> Result<SectionKind, TdvfError> {
    Ok(match value {
        0 => SectionKind::BootVolume,
        1 => SectionKind::ConfigVolume,
        2 => SectionKind::TdHob,
        3 => SectionKind::TempMem,
        4 => SectionKind::PermMem,
        5 => SectionKind::Payload,
        6 => SectionKind::PayloadParam,
        other => return Err(field("section type", "0 to 6", other)),
    })
}

/// What must hold of all sections together.
fn together(sections: &[Section]) -> Result<(), TdvfError> {
    let added = sections.iter().filter(|section| !section.augmented);
    let memory = added.fold(0_u64, |sum, section| sum.saturating_add(section.size));
    if memory > MAX_SECTION_MEMORY {
        return Err(field(
            "memory of all sections",
            format!("at most {MAX_SECTION_MEMORY} bytes"),
            memory,
        ));
    }
    let mut ranges: Vec<_> = sections
        .iter()
        .map(|section| (section.address, section.address + section.size))
        .collect();
    ranges.sort_unstable();
    let overlap = ranges
        .iter()
        .zip(ranges.iter().skip(1))
        .find(|(one, next)| one.1 > next.0);
    match overlap {
        None => Ok(()),
        Some((one, next)) => Err(field(
            "section memory",
            format!("the end of the section before, {:#x}, or above", one.1),
            format!("{:#x}", next.0),
        )),
    }
}
