//! Any bytes as a packaged firmware: no panic, no more memory than the bound, and a firmware that was taken is taken again as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use os_image::build::firmware::firmware;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(taken) = firmware(bytes) {
        assert_eq!(taken.len(), bytes.len());
        assert_eq!(firmware(&taken).as_ref(), Ok(&taken));
    }
});
