//! Time per quote: whole verification, verification with a known certification, and the boot behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../tests/it/samples.rs"]
#[allow(dead_code)]
mod samples;

use attestation::{Collateral, Verifier};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use samples::{V4, V5, intel};
use std::hint::black_box;

fn verify(c: &mut Criterion) {
    let roots = intel();
    for (name, sample, other) in [("v4", &*V4, &*V5), ("v5_td15ex", &*V5, &*V4)] {
        // Room for one certification: the other quote pushes this one's out before each measurement.
        let forgetful = Verifier::new(1);
        let forget = || {
            let verified = forgetful.verify(&other.quote, &other.collateral, other.now, &roots);
            verified.unwrap();
        };
        c.bench_function(&format!("verify_cold/{name}"), |b| {
            b.iter_batched(
                forget,
                |()| {
                    let quote = black_box(&sample.quote);
                    let td = forgetful
                        .verify(quote, &sample.collateral, sample.now, &roots)
                        .unwrap();
                    assert!(!td.certified_warm());
                    td
                },
                BatchSize::PerIteration,
            );
        });
        let verifier = Verifier::new(16);
        verifier
            .verify(&sample.quote, &sample.collateral, sample.now, &roots)
            .unwrap();
        c.bench_function(&format!("verify_warm/{name}"), |b| {
            b.iter(|| {
                let td = verifier
                    .verify(black_box(&sample.quote), &sample.collateral, sample.now, &roots)
                    .unwrap();
                assert!(td.certified_warm());
                td
            });
        });
    }
    c.bench_function("collateral_parse/v4", |b| {
        b.iter(|| Collateral::from_json(black_box(&V4.collateral_json)).unwrap());
    });
}

criterion_group!(benches, verify);
criterion_main!(benches);
