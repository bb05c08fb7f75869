//! The initramfs: one static shell, `dmsetup` and its libraries, modules in their order, the script that opens the root.

use super::modules::Module;
use super::{BuildError, own_files};
use crate::tree::Tree;
use std::path::Path;

/// Programs and libraries of the set; the linker among them.
const WANTED: [&str; 12] = [
    "usr/bin/busybox",
    "usr/sbin/dmsetup",
    "usr/lib64/ld-linux-x86-64.so.2",
    "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "usr/lib/x86_64-linux-gnu/libc.so.6",
    "usr/lib/x86_64-linux-gnu/libm.so.6",
    "usr/lib/x86_64-linux-gnu/libdevmapper.so.1.02.1",
    "usr/lib/x86_64-linux-gnu/libselinux.so.1",
    "usr/lib/x86_64-linux-gnu/libudev.so.1",
    "usr/lib/x86_64-linux-gnu/libcap.so.2",
    "usr/lib/x86_64-linux-gnu/libpcre2-8.so.0",
    "usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
];

/// Whether a package's file belongs in the initramfs: a name of the list, or a library's file with its full version.
pub(super) fn wanted(path: &str) -> bool {
    let path = path.strip_prefix("./").unwrap_or(path);
    WANTED
        .iter()
        .any(|wanted| path == *wanted || (wanted.contains(".so.") && path.starts_with(&format!("{wanted}."))))
}

pub(super) fn assemble(tree: &mut Tree, modules: &[Module], files: &Path) -> Result<(), BuildError> {
    for folder in ["dev", "proc", "sys", "run", "root", "modules"] {
        tree.folder(folder, 0o755)?;
    }
    tree.link("usr/bin/sh", "busybox")?;
    tree.link("usr/bin/dmsetup", "../sbin/dmsetup")?;
    let mut order = String::new();
    for module in modules {
        tree.file(
            &format!("modules/{}", module.file),
            0o644,
            module.bytes.as_slice(),
        )?;
        order.push_str(&module.file);
        order.push('\n');
    }
    tree.file("modules/order", 0o644, order)?;
    own_files(tree, &files.join("initramfs"))
}
