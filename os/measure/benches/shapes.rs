//! Time of a measurement without QEMU: what is hashed once for an image, one shape of VM, the catalogue of 64 shapes. The files are the
//! built image's (`make image`, or the folder KEDGE_IMAGE); what QEMU says of a VM is bytes of the length that QEMU's have, since a
//! hash takes its time whatever it is over.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::{env, fs, hint::black_box, path::PathBuf};
use td_measure::{BootFiles, Catalogue, FwCfgDigests, MeasuredEvent, Measurer, Memory, sha384};

const VCPUS: [u8; 8] = [1, 2, 4, 8, 16, 32, 48, 64];
const MEMORY_MIB: [u64; 8] = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131_072];

fn file(name: &str) -> Vec<u8> {
    let folder = env::var_os("KEDGE_IMAGE").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../target/image/development"
            ))
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: run `make image`", path.display()))
}

/// Lengths as `etc/table-loader`, `etc/acpi/rsdp`, `etc/acpi/tables` and the measured part of the SMBIOS structures have them.
fn said(vcpus: u8) -> FwCfgDigests {
    FwCfgDigests {
        settings: vec![MeasuredEvent {
            name: "boot menu",
            digest: sha384(black_box(&[0; 2])),
        }],
        smbios: sha384(black_box(&[vcpus; 512])),
        loader: sha384(black_box(&[vcpus; 4096])),
        rsdp: sha384(black_box(&[vcpus; 20])),
        tables: sha384(black_box(&vec![vcpus; 128 << 10])),
    }
}

fn shapes(c: &mut Criterion) {
    let (firmware, kernel, initrd) = (file("firmware"), file("kernel"), file("initrd"));
    let described = file("image.json");
    let image: serde_json::Value = serde_json::from_slice(&described).unwrap();
    let command_line = image.get("command_line").and_then(|line| line.as_str());
    let files = BootFiles {
        firmware: &firmware,
        kernel: &kernel,
        initrd: &initrd,
        command_line: command_line.unwrap(),
    };
    let boot = |measurer: &Measurer<'_>, vcpus, mib| {
        let memory = Memory::mib(mib).unwrap();
        measurer.boot(memory, &said(vcpus)).unwrap().registers()
    };
    c.bench_function("image", |b| b.iter(|| Measurer::new(black_box(files)).unwrap()));
    let measurer = Measurer::new(files).unwrap();
    c.bench_function("shape", |b| b.iter(|| boot(&measurer, black_box(2), 4096)));
    c.bench_function("image and shape", |b| {
        b.iter(|| boot(&Measurer::new(black_box(files)).unwrap(), 2, 4096));
    });
    c.bench_function("catalogue of 64 shapes", |b| {
        b.iter(|| {
            let measurer = Measurer::new(black_box(files)).unwrap();
            let all = VCPUS
                .iter()
                .flat_map(|vcpus| MEMORY_MIB.map(|mib| boot(&measurer, *vcpus, mib)));
            let catalogue = Catalogue::from_measurements(all).unwrap();
            (catalogue.os_image_hash(), catalogue.to_json().unwrap())
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = shapes
}
criterion_main!(benches);
