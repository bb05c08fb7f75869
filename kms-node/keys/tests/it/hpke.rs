//! What a seal refuses.

use crate::support::rng;
use kms_keys::{OpeningKey, SealError, seal};
use proptest::prelude::*;

fn recipient() -> OpeningKey {
    OpeningKey::generate(&mut rng(1)).unwrap()
}

#[test]
fn k1_a_seal_opens_with_the_key_in_the_quote_only() {
    let (key, other) = (recipient(), OpeningKey::generate(&mut rng(2)).unwrap());
    let sealed = seal(key.public(), b"info", b"aad", b"keys", &mut rng(3)).unwrap();
    assert_eq!(
        *key.open(&sealed.enc, b"info", b"aad", &sealed.ciphertext)
            .unwrap(),
        b"keys"
    );
    assert_eq!(
        other
            .open(&sealed.enc, b"info", b"aad", &sealed.ciphertext)
            .unwrap_err(),
        SealError::Open
    );
    assert_eq!(
        key.open(&sealed.enc, b"inf0", b"aad", &sealed.ciphertext)
            .unwrap_err(),
        SealError::Open
    );
    assert_eq!(
        key.open(&sealed.enc, b"info", b"aae", &sealed.ciphertext)
            .unwrap_err(),
        SealError::Open
    );
}

#[test]
fn every_seal_is_another_one() {
    let key = recipient();
    let mut rng = rng(4);
    let a = seal(key.public(), b"", b"", b"keys", &mut rng).unwrap();
    let b = seal(key.public(), b"", b"", b"keys", &mut rng).unwrap();
    assert_ne!(a.enc, b.enc);
    assert_ne!(a.ciphertext, b.ciphertext);
}

/// RFC 7748 §6.1: with a point of small order anybody knows the shared secret.
#[test]
fn k1_a_key_of_small_order_is_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    let eight = hex::decode("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800").unwrap();
    for point in [[0; 32], one, eight.try_into().unwrap()] {
        assert_eq!(
            seal(&point, b"", b"", b"keys", &mut rng(5)).unwrap_err(),
            SealError::Recipient
        );
        assert_eq!(
            recipient().open(&point, b"", b"", &[0; 20]).unwrap_err(),
            SealError::Encapsulated
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens(info: Vec<u8>, aad: Vec<u8>, text: Vec<u8>, seed: u64) {
        let key = recipient();
        let sealed = seal(key.public(), &info, &aad, &text, &mut rng(seed)).unwrap();
        prop_assert_eq!(sealed.ciphertext.len(), text.len() + 16);
        prop_assert_eq!(&*key.open(&sealed.enc, &info, &aad, &sealed.ciphertext).unwrap(), &text);
    }

    #[test]
    fn a_changed_seal_does_not_open(text in prop::collection::vec(any::<u8>(), 0..200), bit: prop::sample::Index) {
        let key = recipient();
        let sealed = seal(key.public(), b"info", b"aad", &text, &mut rng(6)).unwrap();
        let mut bytes = [sealed.enc.as_slice(), &sealed.ciphertext].concat();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (enc, ciphertext) = bytes.split_first_chunk().unwrap();
        prop_assert!(key.open(enc, b"info", b"aad", ciphertext).is_err());
    }

    #[test]
    fn anything_else_does_not_open(enc: [u8; 32], ciphertext: Vec<u8>) {
        prop_assert!(recipient().open(&enc, b"", b"", &ciphertext).is_err());
    }
}
