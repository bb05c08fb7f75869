//! What the runner refuses, and its words.

use crate::guest::{tools, write_image};
use std::{os::unix::fs::symlink, path::Path};
use vm_runner::{Accelerator, Forward, Image, RunnerError, Shape, ToolRoot, accelerator_usable, tdx_usable};

#[test]
fn shapes_and_ports_that_are_none() {
    assert!(Shape::new(0, 1024).is_err());
    assert!(Shape::new(256, 1024).is_err());
    assert!(Shape::new(1, 63).is_err());
    for text in [
        "", "80", "80:", ":80", "0:80", "80:0", "80:65536", "80:80:80", "-1:80",
    ] {
        let error = text.parse::<Forward>().unwrap_err().to_string();
        assert!(error.contains("HOST:GUEST"), "{text}: {error}");
    }
}

#[test]
fn an_image_that_is_not_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["firmware", "kernel", "initrd", "rootfs"].map(|name| (name, vec![7; 64]));
    write_image(folder.path(), "quiet", &parts).unwrap();
    Image::open(folder.path()).unwrap().check().unwrap();
    for (name, _) in &parts {
        let mut bytes = vec![7; 64];
        bytes[13] ^= 1;
        std::fs::write(folder.path().join(name), &bytes).unwrap();
        let error = Image::open(folder.path())
            .unwrap()
            .check()
            .unwrap_err()
            .to_string();
        assert!(error.contains(name) && error.contains("SHA-256"), "{error}");
        std::fs::write(folder.path().join(name), &bytes[1..]).unwrap();
        let error = Image::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("expected 64 bytes, got 63"), "{error}");
        std::fs::write(folder.path().join(name), vec![7; 64]).unwrap();
    }
}

#[test]
fn a_folder_without_the_tools_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = ToolRoot::new(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("nothing there") && error.contains("os-image tools"),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_with_another_qemu_says_so() {
    let real = tools().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("usr/bin")).unwrap();
    symlink(real.folder().join("usr/lib"), folder.path().join("usr/lib")).unwrap();
    // Another program of the same folder, which is not QEMU and says so when asked for a version.
    let other = real.folder().join("usr/bin/mkfs.erofs");
    symlink(other, folder.path().join("usr/bin/qemu-system-x86_64")).unwrap();
    let error = ToolRoot::new(folder.path()).unwrap_err();
    assert!(matches!(error, RunnerError::Tools { .. }), "{error}");
    assert!(error.to_string().contains("QEMU 11.1.x"), "{error}");
}

/// Both directions cannot be met on one machine; whichever this one is, the answer is the one that a guest's run shows.
#[tokio::test]
async fn kvm_and_tdx_are_usable_or_say_what_is_missing() {
    let tools = tools().await.unwrap();
    accelerator_usable(&tools, Accelerator::Tcg).await.unwrap();
    let kvm = accelerator_usable(&tools, Accelerator::Kvm).await;
    let firmware = tools.folder().join(os_image::build::firmware::PACKAGED);
    for (platform, found) in [("KVM", kvm), ("tdx", tdx_usable(&tools, &firmware).await)] {
        match found {
            Ok(()) => assert!(Path::new("/dev/kvm").exists(), "{platform} without /dev/kvm"),
            Err(error) => {
                assert!(matches!(error, RunnerError::Unusable { .. }), "{error}");
                eprintln!("{error}");
            }
        }
    }
}
