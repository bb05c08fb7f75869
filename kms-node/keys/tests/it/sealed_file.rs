//! Sealed files: known answers of the second implementation, whoever must not open them, and every changed bit.

use crate::support::{Given, app, array, instance, rng, unhex, vectors};
use kms_keys::{
    MAX_SEALED_CONTEXT, MAX_SEALED_FILE, MAX_SEALED_TEXT, SealLabel, SealScope, SealedFile, SealedFileError,
    SealingKey, instance_seal_secret,
};
use kms_types::{AppId, InstanceId, KeyEpoch};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Cases {
    files: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    scope: String,
    ikm: String,
    key_epoch: u32,
    app_id: String,
    instance_id: String,
    secret: String,
    context: String,
    text: String,
    salt: String,
    file: String,
}

impl Case {
    fn key(&self) -> SealingKey {
        let (app_id, instance_id) = (
            AppId::new(array(&self.app_id)),
            InstanceId::new(array(&self.instance_id)),
        );
        let epoch = KeyEpoch(self.key_epoch);
        if self.scope == "app" {
            return SealingKey::of_app(&array(&self.ikm), app_id, epoch).unwrap();
        }
        let secret = instance_seal_secret(&array(&self.ikm), &app_id, &instance_id, epoch).unwrap();
        assert_eq!(secret.expose(), &array(&self.secret));
        SealingKey::of_instance(secret, app_id, instance_id, epoch)
    }
}

#[test]
fn files_of_the_second_implementation_open_and_come_out_the_same() {
    let cases: Cases = vectors("sealed_files");
    assert_eq!(cases.files.len(), 12);
    for case in &cases.files {
        let (file, context, text) = (unhex(&case.file), unhex(&case.context), unhex(&case.text));
        let read = SealedFile::parse(&file).unwrap();
        assert_eq!(read.scope.as_str(), case.scope);
        assert_eq!(read.key_epoch, KeyEpoch(case.key_epoch));
        assert_eq!(case.key().open(&read, &context).unwrap().as_slice(), text);
        let sealed = case
            .key()
            .seal(&text, &context, &mut Given(unhex(&case.salt)))
            .unwrap();
        assert_eq!(sealed, file);
    }
}

#[test]
fn labels_are_told_apart_and_none_is_a_label_of_something_else() {
    let mut names: Vec<_> = SealLabel::ALL.iter().map(|label| label.as_str()).collect();
    names.extend(kms_keys::Label::ALL.iter().map(|label| label.as_str()));
    names.extend(kms_keys::PathLabel::ALL.iter().map(|label| label.as_str()));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

fn of_app(byte: u8, app_byte: u8, epoch: u32) -> SealingKey {
    SealingKey::of_app(&[byte; 32], app(app_byte), KeyEpoch(epoch)).unwrap()
}

fn of_instance(byte: u8, instance_byte: u8) -> SealingKey {
    let secret = instance_seal_secret(&[byte; 64], &app(1), &instance(instance_byte), KeyEpoch(3)).unwrap();
    SealingKey::of_instance(secret, app(1), instance(instance_byte), KeyEpoch(3))
}

fn open(key: &SealingKey, file: &[u8], context: &[u8]) -> Result<Vec<u8>, SealedFileError> {
    let text = key.open(&SealedFile::parse(file)?, context)?;
    Ok(text.to_vec())
}

#[test]
fn g10_nobody_else_opens_it_and_each_is_told_why() {
    let file = of_app(1, 1, 3).seal(b"text", b"db", &mut rng(1)).unwrap();
    assert_eq!(open(&of_app(1, 1, 3), &file, b"db").unwrap(), b"text");
    assert!(matches!(
        open(&of_app(1, 2, 3), &file, b"db"),
        Err(SealedFileError::App { .. })
    ));
    assert!(matches!(
        open(&of_app(1, 1, 4), &file, b"db"),
        Err(SealedFileError::Epoch { .. })
    ));
    assert!(matches!(
        open(&of_app(1, 1, 3), &file, b""),
        Err(SealedFileError::Context { .. })
    ));
    assert!(matches!(
        open(&of_app(1, 1, 3), &file, b"dc"),
        Err(SealedFileError::Context { .. })
    ));
    assert!(matches!(
        open(&of_instance(1, 5), &file, b"db"),
        Err(SealedFileError::Scope { .. })
    ));
    // The same app of another KMS.
    assert_eq!(open(&of_app(2, 1, 3), &file, b"db"), Err(SealedFileError::Tag));

    let file = of_instance(1, 5).seal(b"text", b"", &mut rng(1)).unwrap();
    assert_eq!(open(&of_instance(1, 5), &file, b"").unwrap(), b"text");
    assert!(matches!(
        open(&of_instance(1, 6), &file, b""),
        Err(SealedFileError::Instance { .. })
    ));
    assert!(matches!(
        open(&of_app(1, 1, 3), &file, b""),
        Err(SealedFileError::Scope { .. })
    ));
    assert_eq!(open(&of_instance(2, 5), &file, b""), Err(SealedFileError::Tag));
}

#[test]
fn g10_a_head_rewritten_for_another_opens_for_nobody() {
    let mine = of_app(1, 1, 3).seal(b"text", b"", &mut rng(1)).unwrap();
    let mut moved = mine.clone();
    // The app id is at 27, after begin, version, scope and epoch.
    moved[27..47].copy_from_slice(app(2).as_ref());
    assert_eq!(open(&of_app(1, 2, 3), &moved, b""), Err(SealedFileError::Tag));
    let mut younger = mine;
    younger[23..27].copy_from_slice(&4u32.to_be_bytes());
    assert_eq!(open(&of_app(1, 1, 4), &younger, b""), Err(SealedFileError::Tag));
}

#[test]
fn g10_every_changed_bit_and_every_cut_is_refused() {
    let key = of_app(1, 1, 3);
    let file = key.seal(b"some text", b"context", &mut rng(1)).unwrap();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            assert!(open(&key, &changed, b"context").is_err(), "byte {at}, bit {bit}");
        }
        assert!(
            open(&key, &file[..at], b"context").unwrap_err().is_malformed(),
            "cut at {at}"
        );
    }
    let longer = [file.as_slice(), &[0]].concat();
    assert!(open(&key, &longer, b"context").unwrap_err().is_malformed());
}

#[test]
fn bounds_hold_at_both_ends() {
    let key = of_app(1, 1, 3);
    let full = key
        .seal(&vec![7; MAX_SEALED_TEXT], &[8; MAX_SEALED_CONTEXT], &mut rng(1))
        .unwrap();
    assert_eq!(full.len(), MAX_SEALED_FILE);
    assert_eq!(
        open(&key, &full, &[8; MAX_SEALED_CONTEXT]).unwrap().len(),
        MAX_SEALED_TEXT
    );
    for (text, context) in [(MAX_SEALED_TEXT + 1, 0), (0, MAX_SEALED_CONTEXT + 1)] {
        let error = key
            .seal(&vec![0; text], &vec![0; context], &mut rng(1))
            .unwrap_err();
        assert!(matches!(error, SealedFileError::TooLong { .. }));
    }
    assert!(matches!(
        SealedFile::parse(&vec![0; MAX_SEALED_FILE + 1]),
        Err(SealedFileError::TooLong { .. })
    ));
    // A context that says it is longer than it may be is refused before it is looked for.
    let mut long = key.seal(b"", b"", &mut rng(1)).unwrap();
    long[99..101].copy_from_slice(&u16::MAX.to_be_bytes());
    assert!(matches!(
        SealedFile::parse(&long),
        Err(SealedFileError::TooLong { what: "context", .. })
    ));
}

#[test]
fn an_instance_in_a_file_of_the_app_is_refused() {
    let mut file = of_app(1, 1, 3).seal(b"", b"", &mut rng(1)).unwrap();
    file[47] = 1;
    assert!(SealedFile::parse(&file).unwrap_err().is_malformed());
}

#[test]
fn two_seals_of_one_text_share_nothing() {
    let key = of_app(1, 1, 3);
    let (first, second) = (
        key.seal(b"text", b"", &mut rng(1)).unwrap(),
        key.seal(b"text", b"", &mut rng(2)).unwrap(),
    );
    assert_ne!(first[67..99], second[67..99]);
    assert_ne!(first[105..], second[105..]);
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened(
        text in prop::collection::vec(any::<u8>(), 0..300),
        context in prop::collection::vec(any::<u8>(), 0..40),
        seed in any::<u64>(),
        instance_scope in any::<bool>(),
    ) {
        let key = if instance_scope { of_instance(1, 5) } else { of_app(1, 1, 3) };
        let file = key.seal(&text, &context, &mut rng(seed)).unwrap();
        let read = SealedFile::parse(&file).unwrap();
        prop_assert_eq!(read.context, context.as_slice());
        prop_assert_eq!(read.scope, if instance_scope { SealScope::Instance } else { SealScope::App });
        prop_assert_eq!(open(&key, &file, &context).unwrap(), text);
    }

    #[test]
    fn no_bytes_panic_or_open(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        let mut file = if magic { b"kedge/sealed-file\0\0\0\0\x01".to_vec() } else { Vec::new() };
        file.extend(bytes);
        prop_assert!(open(&of_app(1, 1, 3), &file, b"").is_err());
    }

    #[test]
    fn g10_a_changed_bit_anywhere_is_refused(
        text in prop::collection::vec(any::<u8>(), 0..100),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let key = of_instance(1, 5);
        let mut file = key.seal(&text, b"c", &mut rng(9)).unwrap();
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert!(open(&key, &file, b"c").is_err());
    }
}
