//! Root files: any bytes are refused; none but a sealed file gives roots.
#![no_main]

use kms_keys::{RootFile, Secret, Wrapping, WrappingKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let wrapping = Wrapping::Key(WrappingKey::new(Secret::new(Box::new([7; 32]))));
    assert!(RootFile::open(file, &wrapping).is_err(), "roots out of nothing");
});
