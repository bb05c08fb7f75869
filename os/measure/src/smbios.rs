//! SMBIOS structures as the firmware measures them: those QEMU hands it, without what names one machine or says how fast it runs
//! (DMTF DSP0134; edk2 MdeModulePkg/Universal/SmbiosMeasurementDxe). Structures that do not end, that name a string they do not
//! have, or of a type QEMU never makes and whose measurement is therefore not written here, are refused.

/// Bytes of the structures of a VM; QEMU makes about 50 for a DIMM of 16 GiB.
pub const MAX_SMBIOS: usize = 1 << 20;

/// Type, length and handle.
const HEADER: usize = 4;
const END_OF_TABLE: u8 = 127;
/// The end as the firmware's own driver writes it.
const END: [u8; 6] = [END_OF_TABLE, 4, 0xfe, 0xff, 0, 0];
/// Types from here on are a vendor's.
const VENDOR: u8 = 128;
/// Types of which nothing but the header is measured.
const HEADER_ONLY: [u8; 5] = [11, 15, 18, 31, 33];
/// Types with fields that are left out, none of which QEMU makes.
const NEVER_MADE: [u8; 4] = [22, 23, 27, 39];

/// A field that is not measured: its first byte and its length; a string's field is its number, and the string goes too.
enum Left {
    Field(usize, usize),
    Text(usize),
}

/// Structures that cannot be what QEMU hands the firmware.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("SMBIOS: expected {expected}, got {actual} at byte {at}")]
pub struct SmbiosError {
    /// What there should be.
    pub expected: &'static str,
    /// What there is.
    pub actual: String,
    /// Where.
    pub at: usize,
}

/// What is not measured of a structure of this type.
const fn left_out(kind: u8) -> &'static [Left] {
    use Left::{Field, Text};
    match kind {
        // Serial number, UUID, what woke it.
        1 => &[Text(0x07), Field(0x08, 16), Field(0x18, 1)],
        // Serial number, place in the chassis.
        2 => &[Text(0x07), Text(0x0a)],
        // Serial number, asset tag.
        3 => &[Text(0x07), Text(0x08)],
        // Voltage, speed, serial number, asset tag, part number, counts of cores and threads.
        4 => &[
            Text(0x20),
            Text(0x21),
            Text(0x22),
            Field(0x23, 1),
            Field(0x24, 1),
            Field(0x25, 1),
            Field(0x2a, 2),
            Field(0x2c, 2),
            Field(0x2e, 2),
            Field(0x11, 1),
            Field(0x16, 2),
        ],
        // Serial number, asset tag, part number.
        17 => &[Text(0x18), Text(0x19), Text(0x1a)],
        _ => &[],
    }
}

/// The bytes that are hashed, of the file `etc/smbios/smbios-tables`.
///
/// # Errors
/// [`SmbiosError`].
pub fn measured_smbios(tables: &[u8]) -> Result<Vec<u8>, SmbiosError> {
    if tables.len() > MAX_SMBIOS {
        return Err(SmbiosError {
            expected: "at most 1 MiB",
            actual: format!("{} bytes", tables.len()),
            at: 0,
        });
    }
    let mut measured = Vec::with_capacity(tables.len());
    let mut at = 0;
    while let Some(rest) = tables.get(at..).filter(|rest| !rest.is_empty()) {
        let refused = |expected, actual| SmbiosError { expected, actual, at };
        let [kind, length, ..] = *rest else {
            return Err(refused("a header", format!("{} byte", rest.len())));
        };
        if kind == END_OF_TABLE {
            break;
        }
        let length = usize::from(length);
        let strings = rest.get(length..).filter(|_| length >= HEADER);
        let strings = strings.ok_or_else(|| refused("a structure", format!("{length} bytes")))?;
        let end = strings.windows(2).position(|two| two == [0, 0]);
        let end = end.ok_or_else(|| refused("two zeros after the strings", "none".to_owned()))?;
        let size = length + end + 2;
        let mut structure = rest.get(..size).unwrap_or_default().to_vec();
        filter(&mut structure, length).map_err(|(expected, actual)| refused(expected, actual))?;
        measured.extend(structure);
        at += size;
    }
    measured.extend(END);
    Ok(measured)
}

fn filter(structure: &mut [u8], length: usize) -> Result<(), (&'static str, String)> {
    let kind = structure.first().copied().unwrap_or_default();
    if NEVER_MADE.contains(&kind) {
        return Err(("a type that QEMU makes", kind.to_string()));
    }
    if kind >= VENDOR || HEADER_ONLY.contains(&kind) {
        structure.iter_mut().skip(HEADER).for_each(|byte| *byte = 0);
        return Ok(());
    }
    for left in left_out(kind) {
        let (at, size) = match left {
            Left::Field(at, size) => (*at, *size),
            Left::Text(at) => (*at, 1),
        };
        // Older structures are shorter.
        if at + size > length {
            continue;
        }
        if let Left::Text(at) = left {
            let number = structure.get(*at).copied().unwrap_or_default();
            blank(structure.get_mut(length..).unwrap_or_default(), number)?;
        }
        structure
            .iter_mut()
            .skip(at)
            .take(size)
            .for_each(|byte| *byte = 0);
    }
    Ok(())
}

/// Overwrites a string with spaces; they are counted from one, and zero is none.
fn blank(strings: &mut [u8], number: u8) -> Result<(), (&'static str, String)> {
    let Some(index) = usize::from(number).checked_sub(1) else {
        return Ok(());
    };
    let text = strings.split_mut(|byte| *byte == 0).nth(index);
    match text.filter(|text| !text.is_empty()) {
        Some(text) => {
            text.fill(b' ');
            Ok(())
        }
        None => Err(("a string the structure has", format!("number {number}"))),
    }
}
