//! MRTD of a firmware: SHA-384 over what the TDX module records while the VMM builds the TD (Intel TDX Module Base Architecture
//! Specification, TDH.MEM.PAGE.ADD and TDH.MR.EXTEND).

use crate::tdvf::{PAGE, Section, Tdvf};
use kms_types::Mrtd;
use sha2::{Digest, Sha384};

/// Bytes one TDH.MR.EXTEND measures.
const CHUNK: u64 = 256;
/// Bytes of one record.
const RECORD: usize = 128;

/// In which order a VMM measures a section. MRTD differs between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageOrder {
    /// Each page is extended as soon as it is added: Linux's KVM as merged, QEMU 9 and later.
    PageByPage,
    /// All pages of a section are added before the first is extended: kernels and QEMU before that.
    SectionBySection,
}

/// MRTD of a firmware file.
///
/// `tdvf` must be the metadata of `firmware`.
pub fn mrtd(firmware: &[u8], tdvf: &Tdvf, order: PageOrder) -> Mrtd {
    let mut hash = Sha384::new();
    for section in tdvf.sections().iter().filter(|section| !section.augmented) {
        let data = firmware.get(section.raw.clone()).unwrap_or_default();
        match order {
            PageOrder::PageByPage => {
                for page in pages(section) {
                    add(&mut hash, page);
                    if section.extended {
                        extend(&mut hash, section, data, page);
                    }
                }
            }
            PageOrder::SectionBySection => {
                pages(section).for_each(|page| add(&mut hash, page));
                if section.extended {
                    pages(section).for_each(|page| extend(&mut hash, section, data, page));
                }
            }
        }
    }
    Mrtd::new(hash.finalize().into())
}

/// Addresses of a section's pages.
fn pages(section: &Section) -> impl Iterator<Item = u64> + use<> {
    let first = section.address;
    (0..section.size / PAGE).map(move |index| first + index * PAGE)
}

fn add(hash: &mut Sha384, address: u64) {
    hash.update(record(b"MEM.PAGE.ADD", address));
}

fn extend(hash: &mut Sha384, section: &Section, data: &[u8], page: u64) {
    for index in 0..PAGE / CHUNK {
        let address = page + index * CHUNK;
        hash.update(record(b"MR.EXTEND", address));
        let offset = usize::try_from(address - section.address).unwrap_or(usize::MAX);
        let rest = data.get(offset..).unwrap_or_default();
        // Memory beyond the section's data is zero.
        let mut chunk = [0; CHUNK as usize];
        chunk.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        hash.update(chunk);
    }
}

/// Name, zero padded; the address at 16; zeros.
fn record(name: &[u8], address: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let bytes = record.iter_mut();
    let name = name.iter().copied().chain(std::iter::repeat(0)).take(16);
    bytes
        .zip(name.chain(address.to_le_bytes()))
        .for_each(|(to, from)| *to = from);
    record
}
