//! Firmware files made for the tests, and what their metadata and MRTD must be.

use kms_types::Mrtd;
use proptest::prelude::*;
use sha2::{Digest, Sha384};
use td_measure::{Memory, PageOrder, SectionKind, Tdvf, TdvfError, mrtd, td_hob_digest};

/// Kind, file offset, file length, address, memory, attributes.
pub(crate) type Row = (u32, u32, u32, u64, u64, u32);

/// OVMF's layout, its code cut to two pages.
pub(crate) const SAMPLE_SECTIONS: &[Row] = &[
    (0, 0x1000, 0x2000, 0xffc8_4000, 0x2000, 1),
    (1, 0x0, 0x1000, 0xffc0_0000, 0x1000, 0),
    (3, 0, 0, 0x81_0000, 0x1_0000, 0),
    (3, 0, 0, 0x80_b000, 0x2000, 0),
    (2, 0, 0, 0x80_9000, 0x2000, 0),
    (3, 0, 0, 0x80_0000, 0x6000, 0),
];

/// A firmware file being built.
pub(crate) struct Built {
    rows: Vec<Row>,
    pub(crate) version: u32,
    pub(crate) count: Option<u32>,
}

impl Built {
    pub(crate) fn new(rows: &[Row]) -> Self {
        Self {
            rows: rows.to_vec(),
            version: 1,
            count: None,
        }
    }

    /// Three pages of contents, metadata, table of GUIDs, reset vector.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut file: Vec<u8> = (0..0x3000_u32).map(|n| (n % 251) as u8).collect();
        let metadata = file.len();
        file.extend_from_slice(b"TDVF");
        let count = self.count.unwrap_or(self.rows.len() as u32);
        for field in [16 + 32 * count, self.version, count] {
            file.extend_from_slice(&field.to_le_bytes());
        }
        for (kind, offset, length, address, size, attributes) in &self.rows {
            file.extend_from_slice(&offset.to_le_bytes());
            file.extend_from_slice(&length.to_le_bytes());
            file.extend_from_slice(&address.to_le_bytes());
            file.extend_from_slice(&size.to_le_bytes());
            file.extend_from_slice(&kind.to_le_bytes());
            file.extend_from_slice(&attributes.to_le_bytes());
        }
        // An entry of another kind lies behind the one that is looked for.
        let at = file.len();
        let total = at + 22 + 21 + 18 + 0x20;
        file.extend_from_slice(&((total - metadata) as u32).to_le_bytes());
        file.extend_from_slice(&22_u16.to_le_bytes());
        file.extend_from_slice(&guid("e47a6535984a4798865e4685a7bf8ec2"));
        file.extend_from_slice(&[9, 9, 9]);
        file.extend_from_slice(&21_u16.to_le_bytes());
        file.extend_from_slice(&[0x11; 16]);
        file.extend_from_slice(&((22 + 21 + 18) as u16).to_le_bytes());
        file.extend_from_slice(&guid("96b582de1fb245f7baeaa366c55a082d"));
        file.extend_from_slice(&[0x90; 0x20]);
        file
    }
}

/// A GUID in the byte order of UEFI.
fn guid(digits: &str) -> Vec<u8> {
    let mut bytes = hex::decode(digits).unwrap();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

fn refused(rows: &[Row], what: &str) {
    let error = Tdvf::parse(&Built::new(rows).file()).unwrap_err();
    assert!(
        matches!(&error, TdvfError::Field { what: field, .. } if *field == what),
        "{error}"
    );
}

#[test]
fn sections_come_in_the_order_of_the_metadata() {
    let tdvf = Tdvf::parse(&Built::new(SAMPLE_SECTIONS).file()).unwrap();
    let first = &tdvf.sections()[0];
    assert_eq!((first.kind, first.extended), (SectionKind::BootVolume, true));
    assert_eq!(first.raw, 0x1000..0x3000);
    assert_eq!(tdvf.sections().len(), 6);
    assert_eq!(tdvf.only(SectionKind::TdHob).unwrap().address, 0x80_9000);
    assert!(tdvf.only(SectionKind::TempMem).is_err());
    assert!(tdvf.only(SectionKind::Payload).is_err());
}

/// The rule written out a second time, as the module's specification has it.
fn spelled_out(file: &[u8], order: PageOrder) -> Mrtd {
    let mut bytes = Vec::new();
    let record = |name: &[u8], address: u64| {
        let mut record = vec![0; 128];
        record[..name.len()].copy_from_slice(name);
        record[16..24].copy_from_slice(&address.to_le_bytes());
        record
    };
    for (_, offset, length, address, size, attributes) in SAMPLE_SECTIONS {
        let mut memory = file[*offset as usize..(*offset + *length) as usize].to_vec();
        memory.resize(*size as usize, 0);
        let mut adds = Vec::new();
        let mut extends = Vec::new();
        for (page, contents) in memory.chunks(4096).enumerate() {
            let page_address = address + page as u64 * 4096;
            adds.push(record(b"MEM.PAGE.ADD", page_address));
            let mut pieces = Vec::new();
            for (index, chunk) in contents.chunks(256).enumerate() {
                pieces.extend(record(b"MR.EXTEND", page_address + index as u64 * 256));
                pieces.extend_from_slice(chunk);
            }
            extends.push(if attributes & 1 == 1 { pieces } else { Vec::new() });
        }
        match order {
            PageOrder::PageByPage => {
                for (add, extend) in adds.iter().zip(&extends) {
                    bytes.extend_from_slice(add);
                    bytes.extend_from_slice(extend);
                }
            }
            PageOrder::SectionBySection => {
                bytes.extend(adds.concat());
                bytes.extend(extends.concat());
            }
        }
    }
    Mrtd::new(Sha384::digest(bytes).into())
}

#[test]
fn mrtd_is_the_hash_of_the_modules_records() {
    let file = Built::new(SAMPLE_SECTIONS).file();
    let tdvf = Tdvf::parse(&file).unwrap();
    for order in [PageOrder::PageByPage, PageOrder::SectionBySection] {
        assert_eq!(mrtd(&file, &tdvf, order), spelled_out(&file, order), "{order:?}");
    }
    assert_ne!(
        mrtd(&file, &tdvf, PageOrder::PageByPage),
        mrtd(&file, &tdvf, PageOrder::SectionBySection)
    );
}

#[test]
fn mrtd_follows_what_is_extended_and_nothing_else() {
    let file = Built::new(SAMPLE_SECTIONS).file();
    let tdvf = Tdvf::parse(&file).unwrap();
    let whole = mrtd(&file, &tdvf, PageOrder::PageByPage);
    let with = |offset: usize| {
        let mut other = file.clone();
        other[offset] ^= 1;
        mrtd(&other, &tdvf, PageOrder::PageByPage)
    };
    for measured in [0x1000, 0x1fff, 0x2fff] {
        assert_ne!(with(measured), whole, "{measured:#x}");
    }
    // The configuration volume is measured into RTMR0 by the firmware itself.
    assert_eq!(with(0), whole);
}

#[test]
fn augmented_memory_is_not_part_of_mrtd() {
    let mut rows = SAMPLE_SECTIONS.to_vec();
    rows.push((4, 0, 0, 0x100_0000, 0x1000, 2));
    let (with, without) = (Built::new(&rows).file(), Built::new(SAMPLE_SECTIONS).file());
    assert_eq!(
        mrtd(&with, &Tdvf::parse(&with).unwrap(), PageOrder::PageByPage),
        mrtd(&without, &Tdvf::parse(&without).unwrap(), PageOrder::PageByPage)
    );
}

#[test]
fn fields_that_do_not_fit_are_refused() {
    refused(&[(0, 0x3_0000, 0x1000, 0, 0x1000, 0)], "section data");
    refused(&[(0, u32::MAX, u32::MAX, 0, 0x1000, 0)], "section data");
    refused(&[(0, 0, 0, 0x10, 0x1000, 0)], "section memory");
    refused(&[(0, 0, 0, 0, 0x1001, 0)], "section memory");
    refused(&[(0, 0, 0x2000, 0, 0x1000, 0)], "section memory");
    refused(&[(0, 0, 0, !0xfff, 0x2000, 0)], "section memory");
    refused(
        &[(3, 0, 0, 0, 0x2000, 0), (3, 0, 0, 0x1000, 0x1000, 0)],
        "section memory",
    );
    refused(&[(3, 0, 0, 0, 1 << 40, 0)], "memory of all sections");
    refused(&[(9, 0, 0, 0, 0x1000, 0)], "section type");
    refused(&[(3, 0, 0, 0, 0x1000, 4)], "section attributes");
    refused(&[(4, 0, 0x1000, 0, 0x1000, 2)], "augmented section");
    refused(&[], "section count");
}

#[test]
fn other_firmware_is_told_from_broken_firmware() {
    for file in [vec![], vec![0; 64], vec![0; 0x1_0000]] {
        assert!(matches!(Tdvf::parse(&file), Err(TdvfError::Missing { .. })));
    }
    let mut built = Built::new(SAMPLE_SECTIONS);
    built.version = 2;
    assert!(matches!(
        Tdvf::parse(&built.file()),
        Err(TdvfError::Field {
            what: "metadata version",
            ..
        })
    ));
    built.version = 1;
    built.count = Some(65);
    assert!(matches!(
        Tdvf::parse(&built.file()),
        Err(TdvfError::Field {
            what: "section count",
            ..
        })
    ));
}

#[test]
fn memory_too_small_for_the_firmware_is_refused() {
    let rows = [(2, 0, 0, 0x0900_0000, 0x1000, 0)];
    let tdvf = Tdvf::parse(&Built::new(&rows).file()).unwrap();
    assert!(td_hob_digest(&tdvf, Memory::mib(64).unwrap()).is_err());
    assert!(td_hob_digest(&tdvf, Memory::mib(256).unwrap()).is_ok());
    assert!(Memory::mib(63).is_err() && Memory::mib(u64::MAX).is_err());
}

proptest! {
    #[test]
    fn any_change_of_a_firmware_parses_or_is_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..16)) {
        let mut file = Built::new(SAMPLE_SECTIONS).file();
        for (index, byte) in changes {
            let at = index.index(file.len());
            file[at] = byte;
        }
        if let Ok(tdvf) = Tdvf::parse(&file) {
            mrtd(&file, &tdvf, PageOrder::PageByPage);
        }
    }

    #[test]
    fn no_two_amounts_of_memory_have_one_digest(one in 128_u64..8192, other in 128_u64..8192) {
        prop_assume!(one != other);
        let tdvf = Tdvf::parse(&Built::new(SAMPLE_SECTIONS).file()).unwrap();
        let digest = |mib| td_hob_digest(&tdvf, Memory::mib(mib).unwrap()).unwrap();
        prop_assert_ne!(digest(one), digest(other));
    }
}
