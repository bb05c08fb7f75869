//! Events in words. What is not understood is shown as hex, never guessed; text of the host keeps no control characters.

use super::CcEvent;
use crate::bytes::{slice, u64_at};

/// Characters of a description.
const LONGEST: usize = 160;

impl CcEvent {
    /// Name of its type; none when the specification has none for the number.
    pub const fn type_name(&self) -> Option<&'static str> {
        Some(match self.event_type {
            0x0000_0000 => "EV_PREBOOT_CERT",
            0x0000_0001 => "EV_POST_CODE",
            0x0000_0003 => "EV_NO_ACTION",
            0x0000_0004 => "EV_SEPARATOR",
            0x0000_0005 => "EV_ACTION",
            0x0000_0006 => "EV_EVENT_TAG",
            0x0000_0007 => "EV_S_CRTM_CONTENTS",
            0x0000_0008 => "EV_S_CRTM_VERSION",
            0x0000_0009 => "EV_CPU_MICROCODE",
            0x0000_000a => "EV_PLATFORM_CONFIG_FLAGS",
            0x0000_000b => "EV_TABLE_OF_DEVICES",
            0x0000_000c => "EV_COMPACT_HASH",
            0x0000_000d => "EV_IPL",
            0x0000_000e => "EV_IPL_PARTITION_DATA",
            0x8000_0001 => "EV_EFI_VARIABLE_DRIVER_CONFIG",
            0x8000_0002 => "EV_EFI_VARIABLE_BOOT",
            0x8000_0003 => "EV_EFI_BOOT_SERVICES_APPLICATION",
            0x8000_0004 => "EV_EFI_BOOT_SERVICES_DRIVER",
            0x8000_0005 => "EV_EFI_RUNTIME_SERVICES_DRIVER",
            0x8000_0006 => "EV_EFI_GPT_EVENT",
            0x8000_0007 => "EV_EFI_ACTION",
            0x8000_0008 => "EV_EFI_PLATFORM_FIRMWARE_BLOB",
            0x8000_0009 => "EV_EFI_HANDOFF_TABLES",
            0x8000_000a => "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
            0x8000_000b => "EV_EFI_HANDOFF_TABLES2",
            0x8000_000c => "EV_EFI_VARIABLE_BOOT2",
            0x8000_0010 => "EV_EFI_HCRTM_EVENT",
            0x8000_00e0 => "EV_EFI_VARIABLE_AUTHORITY",
            0x8000_00e1 => "EV_EFI_SPDM_FIRMWARE_BLOB",
            0x8000_00e2 => "EV_EFI_SPDM_FIRMWARE_CONFIG",
            _ => return None,
        })
    }

    /// What its data says, for people.
    pub fn description(&self) -> String {
        let words = match self.event_type {
            0x8000_0001 | 0x8000_0002 | 0x8000_000c | 0x8000_00e0 => variable(&self.data),
            // A description with a length byte in front, then address and length of the blob.
            0x8000_000a | 0x8000_000b => self
                .data
                .split_first()
                .and_then(|(length, rest)| text(rest.get(..usize::from(*length))?)),
            _ => text(&self.data),
        };
        let words = words.unwrap_or_else(|| self.data.iter().map(|byte| format!("{byte:02x}")).collect());
        match words.char_indices().nth(LONGEST) {
            None => words,
            Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
        }
    }
}

/// UEFI_VARIABLE_DATA: vendor, lengths of name and data, name, data. Its name and how much data.
fn variable(data: &[u8]) -> Option<String> {
    let characters = usize::try_from(u64_at(data, 16)?).ok()?;
    let length = u64_at(data, 24)?;
    let name = slice(data, 32, characters.checked_mul(2)?)?;
    Some(format!("{} ({length} bytes)", utf16(name)?))
}

/// Printable ASCII or UTF-16, with any zeros at the end.
fn text(data: &[u8]) -> Option<String> {
    let end = data.iter().rposition(|byte| *byte != 0)? + 1;
    let ascii = data.get(..end)?;
    if ascii.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return String::from_utf8(ascii.to_vec()).ok();
    }
    utf16(data)
}

fn utf16(data: &[u8]) -> Option<String> {
    if data.is_empty() || !data.len().is_multiple_of(2) {
        return None;
    }
    let units: Vec<u16> = data
        .chunks_exact(2)
        .filter_map(|pair| pair.try_into().ok().map(u16::from_le_bytes))
        .collect();
    let words = String::from_utf16(&units).ok()?;
    let words = words.trim_end_matches('\0');
    // Any pair of bytes is some letter: only plain text is taken for text.
    (!words.is_empty() && words.chars().all(|c| matches!(c, ' '..='~'))).then(|| words.to_owned())
}
