//! `luks`: a header compared from outside, and keys and disks that are none. What it does with a real disk is tested in a VM
//! (`guest-disk`).

use crate::run::tdxctl;
use std::fs;

/// As cryptsetup 2.7.5 makes it from a guest's words.
const HEADER: &[u8] = include_bytes!("../../disk/tests/it/cryptsetup-2.7.5.header");

fn disk(change: impl FnOnce(&mut Vec<u8>)) -> tempfile::NamedTempFile {
    let mut bytes = vec![0; 1 << 20];
    bytes.extend(HEADER);
    bytes.resize((1 << 20) + 544 * 1024, 0);
    change(&mut bytes);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn a_guests_header_holds_and_another_is_refused() {
    let whole = disk(|_| {});
    let run = tdxctl(&["luks", "header-check", whole.path().to_str().unwrap(), "--json"]);
    assert_eq!(
        (run.code, &run.json()["cipher"]),
        (0, &"aes-xts-plain64".into()),
        "{run:?}"
    );
    let null = disk(|bytes| {
        let name = b"aes-xts-plain64";
        let at = bytes
            .windows(name.len())
            .position(|window| window == name)
            .unwrap();
        bytes[at..at + name.len()].copy_from_slice(b"cipher_null-ecb");
    });
    let run = tdxctl(&["luks", "header-check", null.path().to_str().unwrap()]);
    assert_eq!(run.code, 1, "{run:?}");
    let short = disk(|bytes| bytes.truncate(1 << 20));
    for none in [short.path().to_str().unwrap(), "/nonexistent/disk"] {
        let run = tdxctl(&["luks", "header-check", none]);
        assert_eq!(run.code, 2, "{none}: {run:?}");
    }
}

#[test]
fn k4_keys_that_are_none_are_not_repeated() {
    let whole = disk(|_| {});
    let keys = tempfile::NamedTempFile::new().unwrap();
    fs::write(keys.path(), r#"{"disk_key":"5ec4e7"}"#).unwrap();
    for verb in ["open", "format"] {
        let (disk, keys) = (whole.path().to_str().unwrap(), keys.path().to_str().unwrap());
        let run = tdxctl(&["luks", verb, disk, "--keys", keys, "--mount", "/mnt"]);
        assert_eq!(run.code, 64, "{run:?}");
        assert!(!format!("{run:?}").contains("5ec4e7"), "{run:?}");
        let run = tdxctl(&[
            "luks",
            verb,
            disk,
            "--keys",
            "/nonexistent/keys",
            "--mount",
            "/mnt",
        ]);
        assert_eq!(run.code, 2, "{run:?}");
    }
}
