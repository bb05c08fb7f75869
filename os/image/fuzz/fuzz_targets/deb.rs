//! Any bytes as a .deb, and as the tar archive inside of one: no panic, no path outside of the image, and what was taken can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use os_image::{
    archive::{cpio, tar},
    deb::unpack_within,
    tree::Tree,
};

const MAX_UNPACKED: u64 = 4 << 20;

fn check(deb: &[u8]) {
    let mut tree = Tree::default();
    let _ = unpack_within(MAX_UNPACKED, deb, &mut tree, |path| {
        !path.starts_with("usr/share/doc/")
    });
    for (path, entry) in tree.iter() {
        assert!(!path.is_empty() && path.split('/').all(|part| !part.is_empty() && part != ".."));
        assert!(entry.mode <= 0o7777);
        let _ = tree.bytes(path);
    }
    if tree.settle().is_ok() {
        let mut written = Vec::new();
        let _ = cpio(&tree, 0, &mut written);
        let _ = tar(&tree, 0, &mut written);
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let header = format!("{:<48}{:<10}`\n", "data.tar", bytes.len());
    check(&[b"!<arch>\n", header.as_bytes(), bytes].concat());
});
