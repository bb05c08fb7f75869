//! Files of a guest: what comes back, who may read it, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use guest_files::{
    BootMode, FailureKind, FileError, GuestKeys, GuestPaths, HandOver, HandOverVersion, KeyProviderInfo,
    Progress, Registries, StageState, Storage, StorageKind, read_bounded, write_private,
};
use kms_types::{AppId, Blob, ComposeHash, InstanceId, KeyEpoch, OsImageHash, UnixTime};
use kms_wire::SecretBytes;
use std::{
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
};
use tempfile::TempDir;

fn guest() -> (TempDir, GuestPaths) {
    let folder = TempDir::new().unwrap();
    let paths = GuestPaths::new(folder.path(), folder.path().join("data"));
    (folder, paths)
}

fn handover() -> HandOver {
    HandOver {
        version: HandOverVersion,
        app_id: AppId::new([1; 20]),
        app_name: "hello".to_owned(),
        instance_id: InstanceId::ZERO,
        instance_seed: None,
        compose_hash: ComposeHash::new([2; 32]),
        os_image_hash: OsImageHash::new([3; 32]),
        boot_mode: BootMode::None,
        key_provider: KeyProviderInfo {
            name: "none".to_owned(),
            id: String::new(),
        },
        kms: None,
        image_proof: vec![1, 2, 3],
        vm_config: "{}".to_owned(),
        storage: Storage {
            kind: StorageKind::Directory,
            encrypted: false,
            path: "/data".into(),
            generation: None,
            counted: None,
        },
        env_version: Some(7),
        registries: Registries::default(),
        td: "socket:/td.sock".to_owned(),
        simulated: true,
        booted_at: UnixTime(1_700_000_000),
    }
}

fn keys() -> GuestKeys {
    GuestKeys {
        app_id: AppId::new([1; 20]),
        instance_id: InstanceId::ZERO,
        key_epoch: KeyEpoch(1),
        app_key: SecretBytes::new(Box::new([0xab; 32])),
        app_key_signature: Blob::new(vec![9; 65]).unwrap(),
        ca_certificates: "PEM".to_owned(),
        gateway_app_id: AppId::ZERO,
        instance_seal_secret: Some(SecretBytes::new(Box::new([0xcd; 32]))),
        disk_marker_key: None,
    }
}

#[test]
fn documents_come_back_as_they_were() {
    let (_folder, paths) = guest();
    paths.write_handover(&handover()).unwrap();
    assert_eq!(paths.read_handover().unwrap(), handover());
    paths.write_keys(&keys()).unwrap();
    let read = paths.read_keys().unwrap();
    assert_eq!(read.app_key.expose(), &[0xab; 32]);
    assert_eq!(read.app_key_signature, keys().app_key_signature);
    assert_eq!(read.instance_seal_secret.unwrap().expose(), &[0xcd; 32]);
    let mut none = keys();
    none.instance_seal_secret = None;
    paths.write_keys(&none).unwrap();
    assert!(paths.read_keys().unwrap().instance_seal_secret.is_none());
    let report = Progress {
        stage: "keys".to_owned(),
        state: StageState::Failed,
        message: "denied".to_owned(),
        kind: Some(FailureKind::Refused),
        advice: "ask the owner".to_owned(),
        time: UnixTime(5),
    };
    paths.write_progress(&report).unwrap();
    assert_eq!(paths.read_progress().unwrap(), report);
}

#[test]
fn k4_only_the_owner_can_read_what_is_written() {
    let (_folder, paths) = guest();
    // The older file could be read by anyone; the new one is not it.
    std::fs::write(paths.app_keys(), b"old").unwrap();
    paths.write_keys(&keys()).unwrap();
    let about = std::fs::metadata(paths.app_keys()).unwrap();
    assert_eq!(about.mode() & 0o7777, 0o600);
    let names: Vec<_> = std::fs::read_dir(paths.run()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing but the file is left behind");
}

#[test]
fn a_link_in_the_place_of_a_file_is_neither_read_nor_written_through() {
    let (folder, paths) = guest();
    let target = folder.path().join("target");
    std::fs::write(&target, b"untouched").unwrap();
    symlink(&target, paths.handover()).unwrap();
    assert!(matches!(paths.read_handover(), Err(FileError::Io { .. })));
    paths.write_handover(&handover()).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"untouched");
    assert_eq!(paths.read_handover().unwrap(), handover());
}

#[test]
fn a_pipe_or_a_folder_is_refused_at_once() {
    let (folder, _) = guest();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert!(matches!(read_bounded(&pipe, 10), Err(FileError::Kind { .. })));
    assert!(matches!(
        read_bounded(folder.path(), 10),
        Err(FileError::Kind { .. })
    ));
}

#[test]
fn bounds_hold_at_their_edge() {
    let (folder, _) = guest();
    let path = folder.path().join("file");
    write_private(&path, &[7; 10]).unwrap();
    assert_eq!(read_bounded(&path, 10).unwrap().as_slice(), [7; 10]);
    assert!(matches!(
        read_bounded(&path, 9),
        Err(FileError::TooLong { max: 9, .. })
    ));
}

#[test]
fn what_is_not_there_is_told_from_what_is_broken() {
    let (_folder, paths) = guest();
    assert!(paths.read_handover().unwrap_err().is_missing());
    for text in [
        "",
        "[]",
        "{\"version\":1}",
        "{\"version\":2}",
        "{\"version\":1,\"extra\":0}",
    ] {
        std::fs::write(paths.handover(), text).unwrap();
        let error = paths.read_handover().unwrap_err();
        assert!(matches!(error, FileError::Form { .. }), "{text}: {error}");
    }
}

#[test]
fn k4_an_error_about_keys_does_not_repeat_them() {
    let (_folder, paths) = guest();
    paths.write_keys(&keys()).unwrap();
    let text = std::fs::read_to_string(paths.app_keys()).unwrap();
    std::fs::write(
        paths.app_keys(),
        text.replace("\"key_epoch\":1", "\"key_epoch\":\"x\""),
    )
    .unwrap();
    let error = paths.read_keys().err().expect("a broken file");
    assert!(!format!("{error} {error:?}").contains("abab"), "{error}");
}

#[test]
fn a_folder_that_is_gone_is_an_error_that_names_the_file() {
    let error = write_private(Path::new("/nonexistent/folder/file"), b"x").unwrap_err();
    assert!(error.to_string().contains("/nonexistent/folder/file"), "{error}");
}
