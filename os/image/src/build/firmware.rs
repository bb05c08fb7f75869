//! The firmware: Debian's build of edk2's `IntelTdxX64`, with its variable store emptied. Debian's carries keys of Secure Boot that
//! no kernel of ours is signed by; without keys Secure Boot is off, and what is started is measured (RTMR1) instead of being judged.
//! The store is the configuration volume, which the firmware measures into RTMR0; nothing else is touched.
//!
//! Refused is a file laid out otherwise, and one with a driver for a TPM: beside such a driver the kernel measures its command line
//! and initrd into a TPM that the host may emulate, and RTMR2 is the host's to fill (docs/os.md, Firmware).

use liblzma::{read::XzDecoder, stream::Stream};
use std::io::Read;

/// Where the package has it.
pub const PACKAGED: &str = "usr/share/ovmf/OVMF.inteltdx.ms.fd";

/// Bytes the compressed volumes may come to: 12 MiB today.
const MAX_UNPACKED: u64 = 64 << 20;

type Guid = [u8; 16];

/// A GUID from its text form: the first three fields are little-endian (UEFI 2.11, appendix A).
const fn guid(a: u32, b: u16, c: u16, rest: u64) -> Guid {
    let (a, b, c, d) = (
        a.to_le_bytes(),
        b.to_le_bytes(),
        c.to_le_bytes(),
        rest.to_be_bytes(),
    );
    [
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7],
    ]
}

/// EFI_SYSTEM_NV_DATA_FV: the volume of variables.
const VARIABLES: Guid = guid(0xfff1_2b8d, 0x7696, 0x4c8b, 0xa985_2747_075b_4f50);
/// EFI_AUTHENTICATED_VARIABLE: their store.
const STORE: Guid = guid(0xaaf3_2c78, 0x947b, 0x439a, 0xa180_2e14_4ec3_7792);
/// EFI_FIRMWARE_FILE_SYSTEM2 (PI 1.8, volume 3).
const FILES: Guid = guid(0x8c8c_e578, 0x8a3d, 0x4f1c, 0x9935_8961_85c3_2dd3);
/// A section packed with LZMA (edk2 LzmaCustomDecompressLib).
const PACKED: Guid = guid(0xee4e_5898, 0x3914, 0x4259, 0x9d6e_dc7b_d794_03cf);

/// Drivers that find or speak to a TPM (edk2 SecurityPkg/Tcg, OvmfPkg/Tcg).
const TPM: [(&str, Guid); 9] = [
    (
        "Tcg2Dxe",
        guid(0xfdff_263d, 0x5f68, 0x4591, 0x87ba_b768_f445_a9af),
    ),
    (
        "Tcg2Pei",
        guid(0xa0c9_8b77, 0xcba5, 0x4bb8, 0x993b_4af6_ce33_ece4),
    ),
    (
        "Tcg2PlatformDxe",
        guid(0x5cab_08d5, 0xad8f, 0x4d8b, 0xb828_d17a_8d9f_e977),
    ),
    (
        "Tcg2PlatformPei",
        guid(0x4772_7552, 0xa54b, 0x4a84, 0x8cc1_bff2_3e23_9636),
    ),
    (
        "Tcg2ConfigDxe",
        guid(0x4d9c_bef0, 0x15a0, 0x4d0c, 0x83db_5213_e710_c23f),
    ),
    (
        "Tcg2ConfigPei",
        guid(0xbf7f_2b0c, 0x9f2f, 0x4889, 0xab5c_1246_0022_be87),
    ),
    (
        "Tcg12ConfigPei",
        guid(0x8ad3_148f, 0x945f, 0x46b4, 0x8acd_7146_9ea7_3945),
    ),
    ("TcgDxe", guid(0xa568_3620, 0x7998, 0x4bb2, 0xa377_1c1e_31e1_e215)),
    ("TcgPei", guid(0x2be1_e4a6, 0x6505, 0x43b3, 0x9ffc_a3c8_330e_0432)),
];

/// Drivers whose events the catalogue counts with: of the TD's registers, and of SMBIOS.
const MEASURING: [(&str, Guid); 2] = [
    (
        "TdTcg2Dxe",
        guid(0xf062_221e, 0xc607, 0x44c2, 0xb0b4_c388_6331_d351),
    ),
    (
        "SmbiosMeasurementDxe",
        guid(0xd27f_ed59, 0xabb4, 0x4fed, 0xbead_2a87_8c7e_4a7e),
    ),
];

/// A firmware no image is made with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("firmware: expected {expected}, got {actual}")]
pub struct FirmwareError {
    /// What there should be.
    pub expected: &'static str,
    /// What there is.
    pub actual: String,
}

fn refused(expected: &'static str, actual: impl Into<String>) -> FirmwareError {
    FirmwareError {
        expected,
        actual: actual.into(),
    }
}

/// The packaged file without variables.
///
/// # Errors
/// [`FirmwareError`].
pub fn firmware(packaged: &[u8]) -> Result<Vec<u8>, FirmwareError> {
    let mut file = packaged.to_vec();
    let variables = Volume::at(&file, 0)?;
    if variables.kind != VARIABLES {
        return Err(refused(
            "a volume of variables at its beginning",
            hex::encode(variables.kind),
        ));
    }
    // VARIABLE_STORE_HEADER: kind, size, format, state, reserved; then the variables.
    let start = variables.first;
    let header: [u8; 28] = *chunk(&file, start)?;
    let size = little(header.get(16..20).unwrap_or_default());
    let healthy = header.starts_with(&STORE) && header.get(20..22) == Some(&[0x5a, 0xfe]);
    let end = start
        .checked_add(size)
        .filter(|end| *end <= variables.end && size >= header.len());
    let (true, Some(end)) = (healthy, end) else {
        return Err(refused("a healthy store of variables", hex::encode(header)));
    };
    // Unwritten flash.
    file.iter_mut()
        .take(end)
        .skip(start + header.len())
        .for_each(|byte| *byte = 0xff);
    check(&file, variables.end)?;
    Ok(file)
}

/// No driver of a TPM in the file or in what its volume of code packs, and those that measure for the TD.
fn check(file: &[u8], code: usize) -> Result<(), FirmwareError> {
    let volume = Volume::at(file, code)?;
    if volume.kind != FILES {
        return Err(refused(
            "a volume of files behind the variables",
            hex::encode(volume.kind),
        ));
    }
    let unpacked = volume.unpacked(file)?;
    let has = |guid: &Guid| {
        [file, unpacked.as_slice()]
            .iter()
            .any(|bytes| bytes.windows(guid.len()).any(|at| at == guid))
    };
    if let Some((name, _)) = TPM.iter().find(|(_, guid)| has(guid)) {
        return Err(refused("no driver of a TPM", *name));
    }
    match MEASURING.iter().find(|(_, guid)| !has(guid)) {
        Some((name, _)) => Err(refused("the drivers that measure for a TD", format!("no {name}"))),
        None => Ok(()),
    }
}

/// EFI_FIRMWARE_VOLUME_HEADER: where a volume's content begins and ends in the file.
struct Volume {
    kind: Guid,
    first: usize,
    end: usize,
}

impl Volume {
    fn at(file: &[u8], at: usize) -> Result<Self, FirmwareError> {
        let header: &[u8; 56] = chunk(file, at)?;
        let length = little(header.get(32..40).unwrap_or_default());
        let own = little(header.get(48..50).unwrap_or_default());
        let signed = header.get(40..44) == Some(b"_FVH");
        let end = at
            .checked_add(length)
            .filter(|end| *end <= file.len() && own <= length);
        match (signed, end) {
            (true, Some(end)) => Ok(Self {
                kind: *chunk(file, at + 16)?,
                first: at + own,
                end,
            }),
            _ => Err(refused("a firmware volume", hex::encode(header))),
        }
    }

    /// The content of the volume's one file that packs others.
    fn unpacked(&self, file: &[u8]) -> Result<Vec<u8>, FirmwareError> {
        let mut at = self.first;
        while at + 24 <= self.end {
            // EFI_FFS_FILE_HEADER: name, checks, type, attributes, size of three bytes, state.
            let header: &[u8; 24] = chunk(file, at)?;
            let size = little(header.get(20..23).unwrap_or_default());
            // EFI_FV_FILETYPE_FIRMWARE_VOLUME_IMAGE
            if header.get(18) == Some(&0x0b) {
                return unpack(file.get(at + 24..at + size).unwrap_or_default());
            }
            at = at
                .checked_add(size.max(24).next_multiple_of(8))
                .ok_or_else(|| refused("a file in the volume", "its size"))?;
        }
        Err(refused("a file of packed volumes", "none"))
    }
}

/// EFI_GUID_DEFINED_SECTION of LZMA: size, type, kind, offset of the data, attributes.
fn unpack(section: &[u8]) -> Result<Vec<u8>, FirmwareError> {
    let header: &[u8; 24] = chunk(section, 0)?;
    let offset = little(header.get(20..22).unwrap_or_default());
    let size = little(header.get(..3).unwrap_or_default());
    if header.get(3) != Some(&2) || header.get(4..20) != Some(&PACKED) {
        return Err(refused("a section packed with LZMA", hex::encode(header)));
    }
    let packed = section
        .get(offset..size)
        .ok_or_else(|| refused("a section inside its file", format!("{offset} to {size}")))?;
    let decoder =
        Stream::new_lzma_decoder(MAX_UNPACKED).map_err(|error| refused("a decoder", error.to_string()))?;
    let mut unpacked = Vec::new();
    XzDecoder::new_stream(packed, decoder)
        .take(MAX_UNPACKED + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| refused("LZMA", error.to_string()))?;
    if unpacked.len() as u64 > MAX_UNPACKED {
        return Err(refused("at most 64 MiB of volumes", "more"));
    }
    Ok(unpacked)
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Result<&[u8; N], FirmwareError> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found.ok_or_else(|| refused("more bytes", format!("{} of them", bytes.len())))
}

/// A little-endian number; one too large for this machine is larger than any file.
fn little(bytes: &[u8]) -> usize {
    let number = bytes
        .iter()
        .rev()
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use liblzma::{read::XzEncoder, stream::LzmaOptions};
    use proptest::prelude::*;

    fn volume(kind: Guid, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes.extend(kind);
        bytes.extend((content.len() as u64 + 72).to_le_bytes());
        bytes.extend(b"_FVH");
        bytes.extend([0; 4]);
        bytes.extend(72_u16.to_le_bytes());
        bytes.resize(72, 0);
        bytes.extend(content);
        bytes
    }

    fn three(number: usize) -> [u8; 3] {
        number.to_le_bytes()[..3].try_into().unwrap()
    }

    /// A file laid out as Debian's: a key in the store, two files in the volume of code, the second with these packed bytes.
    fn packaged(packed: &[u8]) -> Vec<u8> {
        let mut store = STORE.to_vec();
        store.extend(128_u32.to_le_bytes());
        store.extend([0x5a, 0xfe, 0, 0, 0, 0, 0, 0]);
        store.extend(b"PK");
        store.resize(128, 7);
        // Behind the store: the log of writes to the flash, which is not ours to touch.
        store.extend([9; 32]);
        let encoder = Stream::new_lzma_encoder(&LzmaOptions::new_preset(1).unwrap()).unwrap();
        let mut data = Vec::new();
        XzEncoder::new_stream(packed, encoder)
            .read_to_end(&mut data)
            .unwrap();
        let mut section = three(data.len() + 24).to_vec();
        section.push(2);
        section.extend(PACKED);
        section.extend([24, 0, 1, 0]);
        section.extend(data);
        let file = |kind: u8, body: &[u8]| {
            let mut bytes = vec![0; 18];
            bytes.extend([kind, 0]);
            bytes.extend(three(body.len() + 24));
            bytes.push(0xf8);
            bytes.extend(body);
            bytes.resize(bytes.len().next_multiple_of(8), 0xff);
            bytes
        };
        let code = [file(0xf0, &[0xff; 20]), file(0x0b, &section)].concat();
        [volume(VARIABLES, &store), volume(FILES, &code)].concat()
    }

    fn measuring() -> Vec<u8> {
        MEASURING.iter().flat_map(|(_, guid)| *guid).collect()
    }

    #[test]
    fn the_store_is_emptied_and_nothing_else_is_touched() {
        let before = packaged(&measuring());
        let after = firmware(&before).unwrap();
        assert!(after[100..200].iter().all(|byte| *byte == 0xff));
        assert_eq!((&after[..100], &after[200..]), (&before[..100], &before[200..]));
        // Emptied once is emptied.
        assert_eq!(firmware(&after).unwrap(), after);
    }

    #[test]
    fn a_driver_of_a_tpm_is_refused_packed_or_not() {
        for (name, guid) in TPM {
            let packed = packaged(&[measuring(), guid.to_vec()].concat());
            assert_eq!(
                firmware(&packed).unwrap_err(),
                refused("no driver of a TPM", name)
            );
            let mut plain = packaged(&measuring());
            plain.extend(guid);
            assert_eq!(firmware(&plain).unwrap_err(), refused("no driver of a TPM", name));
        }
    }

    #[test]
    fn a_firmware_that_measures_otherwise_is_refused() {
        let error = firmware(&packaged(&MEASURING[0].1)).unwrap_err();
        assert_eq!(error.actual, "no SmbiosMeasurementDxe");
    }

    #[test]
    fn other_layouts_are_refused() {
        let good = packaged(&measuring());
        // Kind of the first volume, its size, its signature, the store's kind, its size, its format; the second volume's kind;
        // the packed section's kind and its end.
        let packed = good.windows(16).position(|at| at == PACKED).unwrap();
        for at in [
            16,
            34,
            40,
            72,
            90,
            92,
            232 + 16,
            packed,
            packed + 16,
            packed - 4 + 2,
        ] {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            assert!(firmware(&bad).is_err(), "{at}");
        }
        for end in [0, 55, 100, 231, 300, good.len() - 9] {
            assert!(firmware(&good[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_change_gives_a_firmware_or_an_error(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut file = packaged(&measuring());
            for (at, byte) in changes {
                let at = at.index(file.len());
                file[at] = byte;
            }
            let _ = firmware(&file);
        }
    }
}
