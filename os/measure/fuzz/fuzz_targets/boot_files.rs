//! Any bytes as firmware, as kernel and as SMBIOS structures: no panic, no more memory than the bounds allow, one answer for one input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use td_measure::{
    Memory, PageOrder, Tdvf, authenticode_sha384, filled_in_kernel_digest, measured_smbios, mrtd,
    td_hob_digest,
};

fuzz_target!(|bytes: &[u8]| {
    let memory = Memory::mib(2048).expect("an amount of memory");
    if let Ok(tdvf) = Tdvf::parse(bytes) {
        let pages: u64 = tdvf.sections().iter().map(|section| section.size / 4096).sum();
        // The fuzzer is to look for paths, not to hash for minutes.
        if pages < 256 {
            assert_eq!(
                mrtd(bytes, &tdvf, PageOrder::PageByPage),
                mrtd(bytes, &tdvf, PageOrder::PageByPage)
            );
        }
        let _ = td_hob_digest(&tdvf, memory);
    }
    if let Ok(measured) = measured_smbios(bytes) {
        assert!(measured.len() <= bytes.len() + 6);
    }
    let _ = authenticode_sha384(bytes);
    let _ = filled_in_kernel_digest(bytes, 5000, memory);
});
