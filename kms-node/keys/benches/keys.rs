//! What a release costs in keys: derivation, seal and signature. Run: `cargo bench -p kms-keys`.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use kms_keys::{EpochKeys, EpochRoot, OpeningKey, Secret, recover_prehash, seal};
use kms_types::{AppId, InstanceId, KeyEpoch};
use std::hint::black_box;

fn keys() -> EpochKeys {
    EpochKeys::derive(EpochRoot::from_secret(
        KeyEpoch::FIRST,
        Secret::new(Box::new([7; 32])),
    ))
    .unwrap()
}

fn release(c: &mut Criterion) {
    let keys = keys();
    let mut rng = rand::rng();
    let recipient = OpeningKey::generate(&mut rng).unwrap();
    let plaintext = vec![7; 2500];
    let sealed = seal(recipient.public(), b"info", b"aad", &plaintext, &mut rng).unwrap();
    let signature = keys.sign_prehash(&[7; 32]).unwrap();
    let (app, instance) = (AppId::new([1; 20]), InstanceId::new([2; 20]));

    c.bench_function("hpke_seal_2500", |b| {
        b.iter(|| {
            seal(
                recipient.public(),
                b"info",
                b"aad",
                black_box(&plaintext),
                &mut rng,
            )
            .unwrap()
        });
    });
    c.bench_function("hpke_open_2500", |b| {
        b.iter(|| {
            recipient
                .open(&sealed.enc, b"info", b"aad", black_box(&sealed.ciphertext))
                .unwrap()
        });
    });
    c.bench_function("sign_prehash", |b| {
        b.iter(|| keys.sign_prehash(black_box(&[7; 32])).unwrap())
    });
    c.bench_function("recover_prehash", |b| {
        b.iter(|| recover_prehash(&[7; 32], black_box(&signature)).unwrap())
    });
    c.bench_function("sign_log", |b| b.iter(|| keys.sign_log(black_box(&[7; 65]))));
    c.bench_function("app_keys_known_app", |b| {
        b.iter(|| keys.app_keys(black_box(&app), &instance).unwrap().key_epoch)
    });
    let mut n = 0_u64;
    c.bench_function("app_keys_new_app", |b| {
        b.iter(|| {
            n += 1;
            let mut id = [0; 20];
            id.iter_mut()
                .zip(n.to_be_bytes())
                .for_each(|(to, from)| *to = from);
            keys.app_keys(&AppId::new(id), &instance).unwrap().key_epoch
        });
    });
}

criterion_group!(benches, release);
criterion_main!(benches);
