//! `kedge os verify-image`: an image somebody else built, with one part after another that does not belong to it.

use crate::{fails, guest::built_image, json, kedge};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fs, os::unix::fs::symlink, path::Path};
use tempfile::TempDir;

const PARTS: [&str; 4] = ["kernel", "initrd", "rootfs", "firmware"];

/// The image that was built, said to be for one shape.
struct Copy {
    folder: TempDir,
    description: Value,
}

impl Copy {
    fn new() -> Self {
        let (built, folder) = (built_image(), tempfile::tempdir().unwrap());
        for part in PARTS {
            symlink(built.join(part), folder.path().join(part)).unwrap();
        }
        let text = fs::read(built.join("image.json")).unwrap();
        let mut copy = Self {
            folder,
            description: serde_json::from_slice(&text).unwrap(),
        };
        copy.describe(|image| image["shapes"] = json!({"vcpus": [1], "memory_mib": [1024]}));
        copy
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn describe(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.description);
        fs::write(self.path().join("image.json"), self.description.to_string()).unwrap();
    }

    fn measure(&self) -> Value {
        let catalogue = self.path().join("catalogue.json");
        let arguments = [
            "os",
            "measure",
            "--image",
            self.path().to_str().unwrap(),
            "--catalogue",
        ];
        json(
            self.path(),
            &[&arguments[..], &[catalogue.to_str().unwrap()]].concat(),
        )
    }

    /// Changes one byte of a part.
    fn flip(&self, part: &str, at: usize) -> Vec<u8> {
        let path = self.path().join(part);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        bytes
    }

    fn refused(&self, more: &[&str]) -> String {
        let arguments = ["os", "verify-image", "--image", self.path().to_str().unwrap()];
        fails(self.path(), &[&arguments[..], more].concat(), 3)
    }
}

#[test]
fn parts_that_belong_together_do() {
    let copy = Copy::new();
    let hash = copy.measure()["os_image"].as_str().unwrap().to_owned();
    let image = copy.path().to_str().unwrap();
    let said = json(
        copy.path(),
        &["os", "verify-image", "--image", image, "--os-image", &hash],
    );
    assert_eq!(
        (&said["ok"], &said["os_image"]),
        (&json!(true), &json!(hash)),
        "{said}"
    );
    let error = copy.refused(&["--os-image", &format!("0x{}", "07".repeat(32))]);
    assert!(error.contains(&hash), "{error}");
}

#[test]
fn another_byte_in_any_part_is_refused_by_its_name() {
    for part in PARTS {
        let copy = Copy::new();
        copy.measure();
        copy.flip(part, 4096);
        let error = copy.refused(&[]);
        assert!(
            error.contains(part) && error.contains("SHA-256"),
            "{part}: {error}"
        );
    }
}

#[test]
fn a_root_the_command_line_does_not_name_is_refused() {
    let mut copy = Copy::new();
    copy.measure();
    let rootfs = copy.flip("rootfs", 40_000);
    copy.describe(|image| image["files"]["rootfs"]["sha256"] = hex::encode(Sha256::digest(&rootfs)).into());
    let error = copy.refused(&[]);
    assert!(error.contains("root hash"), "{error}");

    // Another salt, or fewer blocks: a guest opens by these words, not by the header of the tree.
    for (name, value) in [("salt", json!("00".repeat(32))), ("blocks", json!(128))] {
        let mut copy = Copy::new();
        copy.describe(|image| {
            let word = |value: &Value| format!("kedge.{name}={}", value.to_string().trim_matches('"'));
            let (old, new) = (word(&image["root"][name]), word(&value));
            image["command_line"] = image["command_line"].as_str().unwrap().replace(&old, &new).into();
            image["root"][name] = value;
        });
        copy.measure();
        let error = copy.refused(&[]);
        assert!(error.contains("root hash"), "{name}: {error}");
    }

    let mut copy = Copy::new();
    copy.describe(|image| {
        let line = image["command_line"].as_str().unwrap().to_owned();
        image["command_line"] = format!("{line} kedge.root={}", "00".repeat(32)).into();
    });
    copy.measure();
    let error = copy.refused(&[]);
    assert!(error.contains("kedge.root="), "{error}");
}

#[test]
fn a_catalogue_of_another_image_is_refused_and_one_that_is_not_there_was_not_checked() {
    let mut copy = Copy::new();
    let mine = copy.measure()["os_image"].as_str().unwrap().to_owned();
    copy.describe(|image| {
        let line = image["command_line"].as_str().unwrap().to_owned();
        image["command_line"] = format!("{line} debug").into();
    });
    let error = copy.refused(&[]);
    assert!(error.contains(&mine) && error.contains("1 of its 1"), "{error}");

    fs::remove_file(copy.path().join("catalogue.json")).unwrap();
    let image = copy.path().to_str().unwrap();
    let output = kedge(copy.path(), &["os", "verify-image", "--image", image]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
