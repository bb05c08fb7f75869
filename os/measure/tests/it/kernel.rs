//! Kernels: a PE image that is a bzImage too, made for the tests.

use proptest::prelude::*;
use sha2::{Digest, Sha384};
use td_measure::{KernelError, Memory, authenticode_sha384, filled_in_kernel_digest, kernel_digest};

const PE: usize = 0x40;
const OPTIONAL: usize = PE + 24;
const HEADERS: usize = 0x1000;

/// Headers of one page, two sections out of order, `tail` bytes behind them, certificates at the end.
fn image(tail: &[u8], certificates: &[u8]) -> Vec<u8> {
    let mut file = vec![0_u8; HEADERS];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c..0x40].copy_from_slice(&(PE as u32).to_le_bytes());
    file[PE..PE + 4].copy_from_slice(b"PE\0\0");
    file[PE + 6..PE + 8].copy_from_slice(&2_u16.to_le_bytes());
    file[PE + 20..PE + 22].copy_from_slice(&0xf0_u16.to_le_bytes());
    file[OPTIONAL..OPTIONAL + 2].copy_from_slice(&0x20b_u16.to_le_bytes());
    file[OPTIONAL + 60..OPTIONAL + 64].copy_from_slice(&(HEADERS as u32).to_le_bytes());
    file[OPTIONAL + 64..OPTIONAL + 68].copy_from_slice(&[0xee; 4]);
    file[OPTIONAL + 108..OPTIONAL + 112].copy_from_slice(&16_u32.to_le_bytes());
    file[OPTIONAL + 148..OPTIONAL + 152].copy_from_slice(&(certificates.len() as u32).to_le_bytes());
    for (index, (offset, size)) in [(0x1200_u32, 0x100_u32), (0x1000, 0x200)].iter().enumerate() {
        let at = OPTIONAL + 0xf0 + 40 * index;
        file[at + 16..at + 20].copy_from_slice(&size.to_le_bytes());
        file[at + 20..at + 24].copy_from_slice(&offset.to_le_bytes());
    }
    // Linux's header lies inside the first page, beside the PE header.
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    file[0x211] = 1;
    file[0x22c..0x230].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    file[0x236..0x238].copy_from_slice(&0x3f_u16.to_le_bytes());
    file.extend((0..0x300_u32).map(|n| (n % 249) as u8));
    file.extend_from_slice(tail);
    file.extend_from_slice(certificates);
    file
}

/// The hash rule for this layout, spelled out.
fn spelled_out(file: &[u8], certificates: usize) -> [u8; 48] {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&file[..OPTIONAL + 64]);
    bytes.extend_from_slice(&file[OPTIONAL + 68..OPTIONAL + 144]);
    bytes.extend_from_slice(&file[OPTIONAL + 152..file.len() - certificates]);
    Sha384::digest(bytes).into()
}

fn gib(n: u64) -> Memory {
    Memory::mib(n * 1024).unwrap()
}

#[test]
fn the_hash_leaves_out_checksum_and_certificates() {
    let file = image(b"tail", &[7; 24]);
    let digest = authenticode_sha384(&file).unwrap();
    assert_eq!(digest, spelled_out(&file, 24));
    for (offset, same) in [
        (OPTIONAL + 64, true),
        (OPTIONAL + 145, true),
        (file.len() - 1, true),
        (0x100, false),
        (HEADERS, false),
        (file.len() - 25, false),
    ] {
        let mut other = file.clone();
        other[offset] ^= 1;
        assert_eq!(authenticode_sha384(&other) == Ok(digest), same, "{offset:#x}");
    }
}

#[test]
fn images_whose_parts_do_not_fit_are_refused() {
    let broken = |change: fn(&mut Vec<u8>)| {
        let mut file = image(b"", b"");
        change(&mut file);
        authenticode_sha384(&file).unwrap_err().what
    };
    type Change = fn(&mut Vec<u8>);
    let cases: [(Change, &str); 8] = [
        (|f| f[0] = 0, "first bytes"),
        (|f| f[0x3f] = 0x7f, "signature"),
        (|f| f[OPTIONAL] = 0, "magic"),
        (|f| f[PE + 6] = 97, "section count"),
        (|f| f[OPTIONAL + 61] = 0, "size of headers"),
        (|f| f[OPTIONAL + 0xf0 + 22] = 9, "section"),
        (|f| f[OPTIONAL + 0xf0 + 40 + 17] = 3, "section"),
        (|f| f[OPTIONAL + 151] = 1, "certificates"),
    ];
    for (index, (change, what)) in cases.into_iter().enumerate() {
        assert_eq!(broken(change), what, "case {index}");
    }
}

#[test]
fn the_loader_writes_where_the_initrd_and_command_line_are() {
    let file = image(b"", b"");
    let mut expected = file.clone();
    expected[0x210] = 0xb0;
    expected[0x211] = 0x81;
    expected[0x224..0x228].copy_from_slice(&0xfe00_u32.to_le_bytes());
    expected[0x228..0x22c].copy_from_slice(&0x2_0000_u32.to_le_bytes());
    // 2 GiB less 160 KiB of ACPI, less one byte, less the initrd, down to a page.
    let address = (0x8000_0000_u32 - 0x2_8000 - 1 - 5000) & !0xfff;
    expected[0x218..0x21c].copy_from_slice(&address.to_le_bytes());
    expected[0x21c..0x220].copy_from_slice(&5000_u32.to_le_bytes());
    assert_eq!(
        filled_in_kernel_digest(&file, 5000, gib(2)).unwrap(),
        authenticode_sha384(&expected).unwrap()
    );
    // From 2.75 GiB on q35 leaves 2 GiB below 4 GiB, so more memory changes nothing here.
    assert_eq!(
        filled_in_kernel_digest(&file, 5000, gib(4)),
        filled_in_kernel_digest(&file, 5000, gib(64))
    );
    assert_eq!(
        filled_in_kernel_digest(&file, 5000, gib(4)),
        filled_in_kernel_digest(&file, 5000, gib(2))
    );
    assert_ne!(
        filled_in_kernel_digest(&file, 5000, gib(1)),
        filled_in_kernel_digest(&file, 5000, gib(2))
    );
}

#[test]
fn qemu_hands_a_td_the_file_as_it_is() {
    let file = image(b"tail", b"");
    assert_eq!(kernel_digest(&file).unwrap(), authenticode_sha384(&file).unwrap());
    assert_ne!(kernel_digest(&file), filled_in_kernel_digest(&file, 5000, gib(2)));
    assert!(matches!(kernel_digest(b"ELF"), Err(KernelError::Header { .. })));
}

#[test]
fn a_kernel_may_want_its_initrd_lower() {
    let mut file = image(b"", b"");
    file[0x236] = 0;
    file[0x22c..0x230].copy_from_slice(&0x10_0000_u32.to_le_bytes());
    let low = filled_in_kernel_digest(&file, 4096, gib(2)).unwrap();
    assert_eq!(low, filled_in_kernel_digest(&file, 4096, gib(1)).unwrap());
    assert_eq!(
        filled_in_kernel_digest(&file, 0x10_0001, gib(2)),
        Err(KernelError::Initrd {
            max: 0x10_0000,
            actual: 0x10_0001
        })
    );
}

#[test]
fn other_files_are_no_kernels() {
    let mut old = image(b"", b"");
    old[0x206..0x208].copy_from_slice(&0x0205_u16.to_le_bytes());
    let mut low = image(b"", b"");
    low[0x211] = 0;
    for file in [b"ELF".to_vec(), old, low] {
        assert!(matches!(
            filled_in_kernel_digest(&file, 1, gib(1)),
            Err(KernelError::Header { .. })
        ));
    }
}

proptest! {
    #[test]
    fn any_change_is_measured_or_refused(at in 0_usize..0x1300, byte: u8, cut in 0_usize..0x1400) {
        let mut file = image(b"tail", &[7; 24]);
        file[at] = byte;
        file.truncate(cut.max(1));
        let _ = filled_in_kernel_digest(&file, 5000, gib(2));
        let _ = authenticode_sha384(&file);
    }
}
