//! Any text as an index of packages and as a lock: no panic, and what is chosen from an index has the hash that stands there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use os_image::packages::{
    control::{paragraphs, relations},
    lock::{Lock, Set, Suite},
    resolve::Archive,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = relations(text);
    if let Ok(lock) = Lock::parse(text) {
        assert!(
            lock.packages
                .iter()
                .all(|one| one.sha256.len() == 64 && !one.path.contains(".."))
        );
    }
    let Ok(all) = paragraphs(text) else { return };
    let suite = Suite {
        name: "stable".to_owned(),
        archive: "debian".to_owned(),
        on_request: false,
    };
    let mut archive = Archive::default();
    if archive.add(&suite, text).is_err() {
        return;
    }
    for name in all.iter().filter_map(|one| one.get("Package")).take(16) {
        let set = Set {
            name: "root".to_owned(),
            packages: vec![name.to_owned()],
            without: Vec::new(),
        };
        let lock = Lock {
            epoch: 0,
            packages: archive.resolve(&set).unwrap_or_default(),
        };
        if lock.check().is_ok() {
            for chosen in &lock.packages {
                assert!(text.contains(&chosen.sha256) && text.contains(&chosen.path));
            }
        }
    }
});
