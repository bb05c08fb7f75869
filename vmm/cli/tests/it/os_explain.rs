//! `kedge os explain`: boots that a quote or a log shows, held against an image with the tables of the real QEMU.

use crate::{fails, guest::Guest, kedge};
use kms_types::{OsMeasurement, ReportData, Rtmr};
use serde_json::{Value, json};
use soft_td::{PlatformConfig, PlatformSeed, SoftPlatform, TdConfig};
use std::path::Path;
use td_measure::{MeasuredBoot, MeasuredEvent};
use td_quote::Td;
use vm_runner::{Accelerator, LoadedImage, Platform, Shape, VmConfig};

fn quote(registers: OsMeasurement) -> Vec<u8> {
    let platform = SoftPlatform::new(PlatformSeed::public("explain"), PlatformConfig::default()).unwrap();
    let td = platform.launch(TdConfig::new(registers));
    td.quote(&ReportData::new([1; 64])).unwrap()
}

/// A log as firmware writes it: the header event, then events of one SHA-384 digest (TCG PC Client Platform Firmware Profile).
fn ccel(boot: &MeasuredBoot) -> Vec<u8> {
    let mut log = [1u32, 3].map(u32::to_le_bytes).concat();
    log.extend([0; 20]);
    log.extend(33u32.to_le_bytes());
    log.extend(b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02\x01\0\0\0\x0c\0\x30\0");
    log.push(0);
    for (register, events) in [(1u32, &boot.rtmr0), (2, &boot.rtmr1), (3, &boot.rtmr2)] {
        for MeasuredEvent { name, digest } in events {
            log.extend([register, 6, 1].map(u32::to_le_bytes).concat());
            log.extend(0x0cu16.to_le_bytes());
            log.extend(digest);
            log.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
            log.extend(name.bytes());
        }
    }
    log
}

/// What the command says in JSON, and its exit code.
fn explain(guest: &Guest, arguments: &[&str]) -> (Option<i32>, Value) {
    let (image, tools) = (guest.folder.path(), guest.tools.folder());
    let common = ["os", "explain", "--json", "--image", image.to_str().unwrap()];
    let more = [
        "--tools",
        tools.to_str().unwrap(),
        "--vcpus",
        "1",
        "--memory",
        "512",
    ];
    let output = kedge(image, &[&common[..], &more, arguments].concat());
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), said)
}

fn same(said: &Value) -> [Option<bool>; 4] {
    [0, 1, 2, 3].map(|at| said["registers"][at]["same"].as_bool())
}

#[test]
fn a_file_that_shows_no_boot_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().to_str().unwrap();
    let file = home.path().join("shown");
    let path = file.to_str().unwrap();
    for (option, bytes, expected) in [
        ("--quote", &b"no quote"[..], "expected bytes, hex, or JSON"),
        ("--quote", b"0x0400", "quote "),
        ("--ccel", b"\x01\0\0\0", "log "),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let error = fails(home.path(), &["os", "explain", "--image", image, option, path], 1);
        assert!(error.contains(expected), "{option}: {error}");
    }
    let error = fails(home.path(), &["os", "explain", "--image", image], 2);
    assert!(error.contains("--quote"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_named() {
    let guest = Guest::build("").await.unwrap();
    let loaded = LoadedImage::read(guest.image.clone()).unwrap();
    let measure = |vcpus, memory| {
        let config = VmConfig {
            platform: Platform::SimVm(Accelerator::Tcg),
            shape: Shape::new(vcpus, memory).unwrap(),
            data: None,
            forwards: Vec::new(),
        };
        loaded.measure(&guest.tools, &config).unwrap()
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = guest.path(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (mine, larger) = (measure(1, 512), measure(2, 1024));
    let own = write("own", &quote(mine.registers()));
    let own_log = write("own.ccel", &ccel(&mine));

    let (code, said) = explain(&guest, &["--quote", &own, "--ccel", &own_log]);
    assert_eq!((code, same(&said)), (Some(0), [Some(true); 4]), "{said}");

    // Another shape is found, from either; the registers are then the image's.
    let hex = format!("{{\"quote\":\"0x{}\"}}", hex::encode(quote(larger.registers())));
    let other = write("other.json", hex.as_bytes());
    let other_log = write("other.ccel", &ccel(&larger));
    for shown in [["--quote", &other], ["--ccel", &other_log]] {
        let (code, said) = explain(&guest, &shown);
        assert_eq!(code, Some(3), "{said}");
        assert_eq!(said["of_image"], true, "{said}");
        assert_eq!(
            (&said["shape"]["vcpus"], &said["shape"]["memory_mib"]),
            (&2.into(), &1024.into()),
            "{said}"
        );
    }

    // A shape nobody else has, but the image names.
    let description = guest.path("image.json");
    let text = std::fs::read_to_string(&description).unwrap();
    let mut image: Value = serde_json::from_str(&text).unwrap();
    image["shapes"] = json!({ "vcpus": [1, 5], "memory_mib": [512, 640] });
    std::fs::write(&description, image.to_string()).unwrap();
    let odd = write("odd", &quote(measure(5, 640).registers()));
    let (code, said) = explain(&guest, &["--quote", &odd]);
    assert_eq!(
        (code, &said["shape"]),
        (Some(3), &json!({ "vcpus": 5, "memory_mib": 640 })),
        "{said}"
    );

    // Another command line: the register alone by a quote, the input by a log.
    let mut line = mine.clone();
    line.rtmr2 = td_measure::rtmr2_events(td_measure::FirmwareBuild::IntelTdx, "quiet", mine.rtmr2[1].digest);
    let loud = write("line", &quote(line.registers()));
    let loud_log = write("line.ccel", &ccel(&line));
    for (shown, expected) in [
        (["--quote", &loud], "one of: command line; initrd"),
        (["--ccel", &loud_log], "command line (command line): expected "),
    ] {
        let (code, said) = explain(&guest, &shown);
        assert_eq!(
            (code, &same(&said)[1..]),
            (Some(3), &[Some(true), Some(true), Some(false)][..]),
            "{said}"
        );
        let differences = said["registers"][3]["differences"].as_array().unwrap();
        assert!(
            differences.len() == 1 && differences[0].as_str().unwrap().starts_with(expected),
            "{said}"
        );
    }

    // Tables no QEMU made: no shape has them.
    let mut tables = mine.clone();
    let event = tables.rtmr0.iter_mut().find(|event| event.name == "ACPI tables");
    event.unwrap().digest = [7; 48];
    let tables = write("tables.ccel", &ccel(&tables));
    let (code, said) = explain(&guest, &["--ccel", &tables]);
    assert_eq!(
        (code, same(&said)[1], &said["shape"]),
        (Some(3), Some(false), &Value::Null),
        "{said}"
    );
    let differences = said["registers"][1]["differences"].to_string();
    assert!(differences.starts_with("[\"ACPI tables (vCPUs"), "{said}");
    assert_eq!(said["machine"], Value::Null, "{said}");

    // Another QEMU is told by the machine type its tables are of.
    let bench = loaded.bench(&guest.tools).unwrap();
    let shape = Shape::new(1, 512).unwrap();
    for machine in ["pc-q35-10.0", "pc-q35-9.2"] {
        let older = bench.boot_as(shape, machine).unwrap();
        let log = write("machine.ccel", &ccel(&older));
        let quote = write("machine", &quote(older.registers()));
        for shown in [["--ccel", &log], ["--quote", &quote]] {
            let (code, said) = explain(&guest, &shown);
            assert_eq!((code, &said["machine"]), (Some(3), &machine.into()), "{said}");
            assert_eq!(said["of_image"], false, "{said}");
        }
    }

    let mut firmware = mine.registers();
    firmware.mrtd = kms_types::Mrtd::new([7; 48]);
    firmware.rtmr1 = Rtmr::ZERO;
    let (code, said) = explain(&guest, &["--quote", &write("firmware.quote", &quote(firmware))]);
    assert_eq!(
        (code, same(&said)),
        (Some(3), [Some(false), Some(true), Some(false), Some(true)]),
        "{said}"
    );

    let folder: &Path = guest.folder.path();
    let shown = [
        "os",
        "explain",
        "--image",
        folder.to_str().unwrap(),
        "--quote",
        &own,
        "--ccel",
        &loud_log,
    ];
    let error = fails(folder, &shown, 3);
    assert!(error.contains("does not lead to the quote's RTMR2"), "{error}");
}
