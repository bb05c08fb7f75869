//! Version 1 of the encrypted environment: the bytes of dstack, and what is refused.

use crate::support::{Given, array, bytes, environment, low_order, names, pairs, rng, sample, vectors};
use app_manifest::{EnvTextError, EnvV1Error, MAX_PLAINTEXT, decrypt_v1, encrypt_v1};
use proptest::prelude::*;
use x25519_dalek::{PublicKey, StaticSecret};

fn public(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

#[test]
fn v1_is_the_bytes_of_the_second_implementation() {
    let v = vectors();
    let given = [bytes(&v["v1"]["ephemeral"]), bytes(&v["v1"]["iv"])].concat();
    let encrypted = encrypt_v1(&array(&v["recipient_public"]), &sample(), &mut Given(given)).unwrap();
    assert_eq!(hex::encode(&encrypted), v["v1"]["encrypted"].as_str().unwrap());
    let opened = decrypt_v1(
        &array(&v["recipient_secret"]),
        &names(&["GREETING", "TOKEN"]),
        &encrypted,
    )
    .unwrap();
    assert_eq!(pairs(&opened), pairs(&sample()));
    assert_eq!(opened.dropped(), 0);
}

#[test]
fn g5_names_outside_allowed_envs_are_dropped_and_counted() {
    let v = vectors();
    let secret = array(&v["recipient_secret"]);
    let encrypted = bytes(&v["v1"]["encrypted"]);
    let opened = decrypt_v1(&secret, &names(&["TOKEN", "OTHER"]), &encrypted).unwrap();
    assert_eq!(pairs(&opened), [("TOKEN".to_owned(), "s3cret".to_owned())]);
    assert_eq!(opened.dropped(), 1);
    let none = decrypt_v1(&secret, &names(&[]), &encrypted).unwrap();
    assert_eq!((none.len(), none.dropped()), (0, 2));
}

#[test]
fn another_key_or_a_changed_byte_opens_nothing() {
    let (secret, allowed) = ([7; 32], names(&["A"]));
    let encrypted = encrypt_v1(&public(&secret), &environment(&[("A", "1")]), &mut rng(1)).unwrap();
    assert!(matches!(
        decrypt_v1(&[8; 32], &allowed, &encrypted),
        Err(EnvV1Error::Open)
    ));
    for at in 0..encrypted.len() {
        // The highest bit of an X25519 key is not part of it.
        let mut changed = encrypted.clone();
        changed[at] ^= 1;
        assert!(
            matches!(decrypt_v1(&secret, &allowed, &changed), Err(EnvV1Error::Open)),
            "byte {at}"
        );
    }
}

#[test]
fn keys_of_small_order_are_refused_both_ways() {
    for point in low_order() {
        let error = encrypt_v1(&point, &environment(&[]), &mut rng(1)).unwrap_err();
        assert_eq!(error, EnvV1Error::LowOrder);
        let forged = [point.as_slice(), &[0; 12 + 16 + 10]].concat();
        assert!(matches!(
            decrypt_v1(&[7; 32], &names(&[]), &forged),
            Err(EnvV1Error::LowOrder)
        ));
    }
}

#[test]
fn lengths_are_bounded_before_anything_is_done() {
    for length in [0, 31, 32, 43, 44, 59, MAX_PLAINTEXT + 61] {
        let error = decrypt_v1(&[7; 32], &names(&[]), &vec![9; length]).err();
        assert_eq!(error, Some(EnvV1Error::Length { actual: length }));
    }
    let value = "x".repeat(128 * 1024);
    let named: Vec<_> = (0..9).map(|i| format!("E{i}")).collect();
    let pairs: Vec<_> = named.iter().map(|name| (name.as_str(), value.as_str())).collect();
    let error = encrypt_v1(&public(&[7; 32]), &environment(&pairs), &mut rng(1)).unwrap_err();
    assert!(
        matches!(error, EnvV1Error::Text(EnvTextError::TooLong { .. })),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_encrypted_is_opened(
        vars in prop::collection::btree_map("[A-Z]{1,3}X", "[^\0]{0,20}", 0..8),
        secret in any::<[u8; 32]>(),
        seed in any::<u64>(),
    ) {
        let pairs_in: Vec<_> = vars.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let allowed = names(&vars.keys().map(String::as_str).collect::<Vec<_>>());
        let encrypted = encrypt_v1(&public(&secret), &environment(&pairs_in), &mut rng(seed)).unwrap();
        let opened = decrypt_v1(&secret, &allowed, &encrypted).unwrap();
        prop_assert_eq!(pairs(&opened), vars.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_refused(encrypted in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decrypt_v1(&[7; 32], &names(&["A"]), &encrypted).is_err());
    }
}
