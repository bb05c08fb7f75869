//! Known answers: event digests read from event logs of real TDX quotes.

use crate::firmware::{Built, SAMPLE_SECTIONS};
use td_measure::{
    FirmwareBuild, FwCfgDigests, MeasuredEvent, Memory, Tdvf, rtmr0_events, rtmr1_events, rtmr2_events,
    sha384, td_hob_digest,
};

fn host() -> FwCfgDigests {
    FwCfgDigests {
        settings: vec![MeasuredEvent {
            name: "boot menu",
            digest: [6; 48],
        }],
        loader: [1; 48],
        rsdp: [2; 48],
        tables: [3; 48],
        smbios: [7; 48],
    }
}

fn digest_of(events: &[td_measure::MeasuredEvent], name: &str) -> String {
    let event = events.iter().find(|event| event.name == name);
    hex::encode(event.unwrap_or_else(|| panic!("no event {name}")).digest)
}

#[test]
fn hand_off_blocks_of_two_amounts_of_memory() {
    let firmware = Built::new(SAMPLE_SECTIONS).file();
    let tdvf = Tdvf::parse(&firmware).unwrap();
    for (gib, prefix) in [(2, "0b8772e5b0b41b83"), (64, "8ae1e425351df799")] {
        let digest = td_hob_digest(&tdvf, Memory::mib(gib * 1024).unwrap()).unwrap();
        assert!(hex::encode(digest).starts_with(prefix), "{gib} GiB");
    }
}

#[test]
fn events_of_the_general_firmware() {
    let events = rtmr0_events(FirmwareBuild::Ovmf, [4; 48], [5; 48], &host());
    for (name, prefix) in [
        ("SecureBoot", "9dc3a1f8"),
        ("PK", "6f2e3cbc"),
        ("KEK", "d607c0ef"),
        ("db", "08a74f89"),
        ("dbx", "18cc6e01"),
        ("separator", "394341b7"),
        ("BootOrder", "1dd6f7b4"),
    ] {
        assert!(digest_of(&events, name).starts_with(prefix), "{name}");
    }
    assert_eq!(
        digest_of(&events, "Boot0000"),
        "23ada07f5261f12f34a0bd8e46760962d6b4d576a416f1fea1c64bc656b1d28eacf7047ae6e967c58fd2a98bfa74c298"
    );
    let names: Vec<_> = events.iter().map(|event| event.name).collect();
    assert_eq!(names[..2], ["TD HOB", "configuration firmware volume"]);
    assert_eq!(names[8..11], ["ACPI loader", "ACPI RSDP", "ACPI tables"]);
}

#[test]
fn events_of_the_boot_option() {
    let events = rtmr1_events([7; 48]);
    for (name, prefix) in [
        ("Calling EFI Application from Boot Option", "77a0dab2"),
        ("Exit Boot Services Invocation", "214b0bef"),
        ("Exit Boot Services Returned with Success", "0a2e01c8"),
    ] {
        assert!(digest_of(&events, name).starts_with(prefix), "{name}");
    }
}

#[test]
fn the_command_line_is_measured_with_the_name_of_the_initrd() {
    for (build, line) in [
        (FirmwareBuild::Ovmf, "a initrd=initrd\0"),
        (FirmwareBuild::IntelTdx, "initrd=initrd a\0"),
    ] {
        let events = rtmr2_events(build, "a", sha384(b"initrd"));
        let line: Vec<u8> = line.bytes().flat_map(|byte| [byte, 0]).collect();
        assert_eq!(events[0].digest, sha384(&line));
        assert_eq!(events[1].digest, sha384(b"initrd"));
    }
}

/// Variables as they were found in the memory of a VM that this firmware had started.
#[test]
fn events_of_intels_firmware() {
    let events = rtmr0_events(FirmwareBuild::IntelTdx, [4; 48], [5; 48], &host());
    let names: Vec<_> = events.iter().map(|event| event.name).collect();
    assert_eq!(
        names,
        [
            "TD HOB",
            "configuration firmware volume",
            "boot menu",
            "SecureBoot",
            "PK",
            "KEK",
            "db",
            "dbx",
            "separator",
            "ACPI loader",
            "ACPI RSDP",
            "ACPI tables",
            "SMBIOS",
            "BootOrder",
            "Boot0000"
        ]
    );
    let option = "090100002c0042006f006f0074004d0061006e0061006700650072004d0065006e007500410070007000000004071400c9bdb87c\
                  ebf8344faaea3ee4af6516a104061400dc5bc2eef267954db1d5f81b2039d11d7fff0400";
    assert_eq!(
        digest_of(&events, "Boot0000"),
        hex::encode(sha384(&hex::decode(option).unwrap()))
    );
    // UEFI_VARIABLE_DATA: vendor, ten characters of name, one byte of data, name, data.
    let mut off = hex::decode("61dfe48bca93d211aa0d00e098032b8c").unwrap();
    off.extend([10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    off.extend(b"SecureBoot".iter().flat_map(|byte| [*byte, 0]));
    off.push(0);
    assert_eq!(digest_of(&events, "SecureBoot"), hex::encode(sha384(&off)));
    assert!(digest_of(&events, "PK").starts_with("6f2e3cbc"));
}

#[test]
fn a_build_is_told_by_what_its_code_measures() {
    let mut file = vec![0; 1 << 20];
    assert_eq!(FirmwareBuild::of(&file), FirmwareBuild::Ovmf);
    // Far from the code it is a text among others.
    file[1000..1012].copy_from_slice(b"QEMU FW CFG\0");
    assert_eq!(FirmwareBuild::of(&file), FirmwareBuild::Ovmf);
    file[(1 << 20) - 5000..][..12].copy_from_slice(b"QEMU FW CFG\0");
    assert_eq!(FirmwareBuild::of(&file), FirmwareBuild::IntelTdx);
    assert_eq!(FirmwareBuild::of(b"short"), FirmwareBuild::Ovmf);
}
