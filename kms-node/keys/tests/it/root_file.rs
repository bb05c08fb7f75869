//! The root file: wrong keys, damage, versions, and crashes while it is written.

use crate::support::{rng, root};
use kms_keys::{Argon2Cost, EpochRoot, Passphrase, RootFile, RootFileError, Secret, Wrapping, WrappingKey};
use kms_types::KeyEpoch;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

fn key(byte: u8) -> Wrapping {
    Wrapping::Key(WrappingKey::new(Secret::new(Box::new([byte; 32]))))
}

fn passphrase(text: &str) -> Wrapping {
    let cost = Argon2Cost {
        memory_kib: 8192,
        passes: 1,
        lanes: 1,
    };
    Wrapping::Passphrase(Passphrase::with_cost(text.as_bytes().to_vec().into(), cost))
}

fn sealed(wrapping: &Wrapping) -> Vec<u8> {
    RootFile::seal(&[&root(1, 1), &root(4, 2)], wrapping, &mut rng(1)).unwrap()
}

fn epochs(roots: &[EpochRoot]) -> Vec<(u32, [u8; 32])> {
    roots.iter().map(|r| (r.epoch().0, *r.expose())).collect()
}

/// The file with a checksum that fits what is before it.
fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.len() - 32;
    let sum = Sha256::digest(&file[..end]);
    file[end..].copy_from_slice(&sum);
    file
}

fn open(file: &[u8], wrapping: &Wrapping) -> RootFileError {
    match RootFile::open(file, wrapping) {
        Ok(_) => panic!("expected a refusal"),
        Err(error) => error,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read() {
    for wrapping in [key(1), passphrase("a passphrase")] {
        let roots = RootFile::open(&sealed(&wrapping), &wrapping).unwrap();
        assert_eq!(epochs(&roots), [(1, [1; 32]), (4, [2; 32])]);
    }
}

#[test]
fn every_file_has_another_salt() {
    let mut rng = rng(1);
    let a = RootFile::seal(&[&root(1, 1)], &key(1), &mut rng).unwrap();
    let b = RootFile::seal(&[&root(1, 1)], &key(1), &mut rng).unwrap();
    assert_ne!(a[33..], b[33..]);
}

#[test]
fn a_wrong_key_is_told_from_damage_and_version() {
    let file = sealed(&key(1));
    assert!(matches!(open(&file, &key(2)), RootFileError::WrongKey));
    assert!(matches!(
        open(&sealed(&passphrase("a")), &passphrase("b")),
        RootFileError::WrongKey
    ));
    assert!(matches!(
        open(&file, &passphrase("a")),
        RootFileError::WrappedBy {
            expected: "passphrase",
            actual: "key"
        }
    ));
    assert!(matches!(
        open(&sealed(&passphrase("a")), &key(1)),
        RootFileError::WrappedBy {
            expected: "key",
            actual: "passphrase"
        }
    ));
    let mut newer = file.clone();
    newer[19] = 2;
    assert!(matches!(
        open(&newer, &key(1)),
        RootFileError::Version {
            expected: 1,
            actual: 2
        }
    ));
    assert!(matches!(
        open(b"-----BEGIN PRIVATE KEY-----", &key(1)),
        RootFileError::Damaged { .. }
    ));
    assert!(matches!(open(&[], &key(1)), RootFileError::Damaged { .. }));
}

#[test]
fn a_file_cut_anywhere_gives_no_roots() {
    let file = sealed(&key(1));
    for end in 0..file.len() {
        assert!(
            matches!(open(&file[..end], &key(1)), RootFileError::Damaged { .. }),
            "cut at {end}"
        );
    }
}

#[test]
fn a_bit_flipped_anywhere_gives_no_roots() {
    let file = sealed(&key(1));
    for bit in 0..file.len() * 8 {
        let mut changed = file.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let error = open(&changed, &key(1));
        let version = (16..20).contains(&(bit / 8));
        assert_eq!(
            matches!(error, RootFileError::Version { .. }),
            version,
            "bit {bit}: {error}"
        );
        assert_eq!(
            matches!(error, RootFileError::Damaged { .. }),
            !version,
            "bit {bit}: {error}"
        );
    }
}

/// The checksum is no secret: whoever changes the file can fix it, and then the seal must hold.
#[test]
fn a_bit_flipped_under_a_fitting_checksum_gives_no_roots() {
    let file = sealed(&key(1));
    for bit in 0..(file.len() - 32) * 8 {
        let mut changed = file.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        open(&with_checksum(changed), &key(1));
    }
}

#[test]
fn the_cost_in_a_file_is_bounded() {
    for (at, value) in [(21, 2 * 1024 * 1024_u32), (21, 1), (25, 1000), (25, 0), (29, 17)] {
        let mut file = sealed(&passphrase("a"));
        file[at..at + 4].copy_from_slice(&value.to_be_bytes());
        assert!(
            matches!(
                open(&with_checksum(file), &passphrase("a")),
                RootFileError::Cost { .. }
            ),
            "{at} {value}"
        );
    }
}

#[test]
fn epochs_are_a_strictly_rising_list() {
    let seal = |roots: &[&EpochRoot]| RootFile::seal(roots, &key(1), &mut rng(1));
    for roots in [
        vec![],
        vec![root(0, 1)],
        vec![root(2, 1), root(1, 1)],
        vec![root(1, 1), root(1, 2)],
    ] {
        let roots: Vec<&EpochRoot> = roots.iter().collect();
        assert!(matches!(seal(&roots), Err(RootFileError::Epochs { .. })));
    }
    let many: Vec<EpochRoot> = (1..=257).map(|n| root(n, 1)).collect();
    let many: Vec<&EpochRoot> = many.iter().collect();
    assert!(matches!(seal(&many), Err(RootFileError::Epochs { .. })));
    assert_eq!(
        RootFile::open(&seal(&many[..256]).unwrap(), &key(1))
            .unwrap()
            .len(),
        256
    );
}

#[test]
fn k4_files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roots");
    RootFile::create(&path, &[&root(1, 1)], &key(1), &mut rng(1)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        match RootFile::read(&path, &key(1)) {
            Err(RootFileError::SecretFile { expected, actual, .. }) => {
                assert_eq!((expected, actual), ("mode 0600", format!("{mode:04o}")));
            }
            other => panic!("{mode:o}: {:?}", other.err()),
        }
    }
}

#[test]
fn k4_key_and_passphrase_files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let write = |bytes: &[u8], mode| {
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write(&[7; 32], 0o644);
    assert!(matches!(
        WrappingKey::from_file(&path),
        Err(RootFileError::SecretFile {
            expected: "mode 0600",
            ..
        })
    ));
    assert!(matches!(
        Passphrase::from_file(&path),
        Err(RootFileError::SecretFile {
            expected: "mode 0600",
            ..
        })
    ));
    write(&[7; 32], 0o400);
    let wrapping = Wrapping::Key(WrappingKey::from_file(&path).unwrap());
    RootFile::open(&sealed(&key(7)), &wrapping).unwrap();
    for wrong in [31, 33, 64, 0] {
        fs::remove_file(&path).unwrap();
        write(&vec![7; wrong], 0o600);
        assert!(
            matches!(
                WrappingKey::from_file(&path),
                Err(RootFileError::SecretFile { .. })
            ),
            "{wrong} bytes"
        );
    }
    write(b"a passphrase\n", 0o600);
    let wrapping = Wrapping::Passphrase(Passphrase::from_file(&path).unwrap());
    RootFile::open(&sealed(&passphrase("a passphrase")), &wrapping).unwrap();
    write(b"\n", 0o600);
    assert!(matches!(
        Passphrase::from_file(&path),
        Err(RootFileError::SecretFile { .. })
    ));
    assert!(matches!(
        WrappingKey::from_file(folder.path()),
        Err(RootFileError::SecretFile { .. })
    ));
}

#[test]
fn fresh_roots_never_overwrite_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roots");
    RootFile::create(&path, &[&root(1, 1)], &key(1), &mut rng(1)).unwrap();
    let again = RootFile::create(&path, &[&root(1, 9)], &key(1), &mut rng(2));
    assert!(matches!(again, Err(RootFileError::Exists { .. })));
    assert_eq!(epochs(&RootFile::read(&path, &key(1)).unwrap()), [(1, [1; 32])]);
    assert_eq!(names(folder.path()), ["roots"], "a temporary file was left");
}

#[test]
fn a_replaced_file_is_the_new_one_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roots");
    RootFile::create(&path, &[&root(1, 1)], &key(1), &mut rng(1)).unwrap();
    RootFile::replace(&path, &[&root(1, 1), &root(2, 2)], &key(2), &mut rng(2)).unwrap();
    assert_eq!(
        epochs(&RootFile::read(&path, &key(2)).unwrap()),
        [(1, [1; 32]), (2, [2; 32])]
    );
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(names(folder.path()), ["roots"], "a temporary file was left");
}

/// What a crash leaves: the new file half written beside the old one. The old one still counts, and the next write works.
#[test]
fn a_crash_while_writing_keeps_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roots");
    RootFile::create(&path, &[&root(1, 1)], &key(1), &mut rng(1)).unwrap();
    fs::write(
        folder.path().join(".roots.0000000000000001.new"),
        &sealed(&key(1))[..40],
    )
    .unwrap();
    assert_eq!(epochs(&RootFile::read(&path, &key(1)).unwrap()), [(1, [1; 32])]);
    RootFile::replace(&path, &[&root(1, 1), &root(2, 2)], &key(1), &mut rng(2)).unwrap();
    assert_eq!(RootFile::read(&path, &key(1)).unwrap().len(), 2);
}

/// A write that fails at its last step (the target is a folder) leaves what was there and nothing beside it.
#[test]
fn a_failed_write_keeps_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roots");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("kept"), b"kept").unwrap();
    let failed = RootFile::replace(&path, &[&root(1, 1)], &key(1), &mut rng(1));
    assert!(matches!(failed, Err(RootFileError::Io { .. })));
    assert_eq!(fs::read(path.join("kept")).unwrap(), b"kept");
    assert_eq!(names(folder.path()), ["roots"], "a temporary file was left");
    let nowhere = folder.path().join("missing").join("roots");
    assert!(matches!(
        RootFile::create(&nowhere, &[&root(1, 1)], &key(1), &mut rng(1)),
        Err(RootFileError::Io { .. })
    ));
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roots");
    fs::write(&path, vec![0; 64 * 1024]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(
        RootFile::read(&path, &key(1)),
        Err(RootFileError::SecretFile {
            expected: "a smaller file",
            ..
        })
    ));
    assert!(matches!(
        open(&vec![0; 64 * 1024], &key(1)),
        RootFileError::Damaged { .. }
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_roots_come_back(list in prop::collection::btree_map(1u32.., any::<[u8; 32]>(), 1..20), wrap: [u8; 32], seed: u64) {
        let wrapping = Wrapping::Key(WrappingKey::new(Secret::new(Box::new(wrap))));
        let roots: Vec<EpochRoot> = list
            .iter()
            .map(|(epoch, bytes)| EpochRoot::from_secret(KeyEpoch(*epoch), Secret::new(Box::new(*bytes))))
            .collect();
        let file = RootFile::seal(&roots.iter().collect::<Vec<_>>(), &wrapping, &mut rng(seed)).unwrap();
        let read = RootFile::open(&file, &wrapping).unwrap();
        prop_assert_eq!(epochs(&read), list.into_iter().collect::<Vec<_>>());
        for root in &roots {
            prop_assert!(!file.windows(32).any(|w| w == root.expose()), "a root in the clear");
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(RootFile::open(&bytes, &key(1)).is_err());
    }
}
