//! ACPI tables from the real QEMU: the same for the same VM, others for another, and registers that follow from them.

use crate::guest::Guest;
use std::fs;
use td_measure::{BootFiles, Measurer};
use vm_runner::{Accelerator, FwCfg, ImageFile, Platform, Shape, VmConfig};

fn config(vcpus: u16, memory: u64) -> VmConfig {
    VmConfig {
        platform: Platform::SimVm(Accelerator::Tcg),
        shape: Shape::new(vcpus, memory).unwrap(),
        data: None,
        forwards: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_registers_follow_the_shape_and_nothing_else() {
    let guest = Guest::build("").await.unwrap();
    let image = &guest.image;
    let read = |vcpus, memory| FwCfg::read(&guest.tools, image, &config(vcpus, memory)).unwrap();
    let small = read(1, 512);
    assert_eq!(small, read(1, 512));
    // RSDP (ACPI 6.5, 5.2.5.3) and the first table QEMU writes.
    assert!(small.rsdp.starts_with(b"RSD PTR "));
    assert!(small.tables.windows(4).any(|name| name == b"DSDT"));
    // What docs/measurements.md says of a VM of ours: no boot menu, and the kernel first.
    let settings = [
        ("boot menu", vec![0, 0]),
        ("bootorder", b"/rom@genroms/linuxboot_dma.bin\0".to_vec()),
    ];
    assert_eq!(small.settings, settings);
    // More memory than the machines that run this have.
    assert_ne!(small.tables, read(1, 256 << 10).tables);
    let more_processors = read(2, 512);
    assert_ne!(small.tables, more_processors.tables);

    let part = |part| fs::read(image.path(part).unwrap()).unwrap();
    let (firmware, kernel, initrd) = (
        part(ImageFile::Firmware),
        part(ImageFile::Kernel),
        part(ImageFile::Initrd),
    );
    let measurer = Measurer::new(BootFiles {
        firmware: &firmware,
        kernel: &kernel,
        initrd: &initrd,
        command_line: image.command_line(),
    })
    .unwrap();
    let boot = |vcpus, memory, tables: &FwCfg| {
        let shape = Shape::new(vcpus, memory).unwrap();
        measurer.boot(shape.memory(), &tables.digests().unwrap()).unwrap()
    };
    let first = boot(1, 512, &small);
    let other_processors = first.differences(&boot(2, 512, &more_processors));
    assert!(
        other_processors.contains(&("RTMR0", "ACPI tables")),
        "{other_processors:?}"
    );
    assert!(
        other_processors
            .iter()
            .all(|(_, name)| name.starts_with("ACPI ") || *name == "SMBIOS"),
        "{other_processors:?}"
    );
    let larger = first.differences(&boot(1, 1024, &read(1, 1024)));
    assert!(larger.contains(&("RTMR0", "TD HOB")), "{larger:?}");
    assert!(
        larger.iter().all(|(register, _)| *register == "RTMR0"),
        "{larger:?}"
    );
}

/// Spaces of the operation regions that a table's code declares (ACPI 6.5, 20.2.5.2: `5B 80`, a name, the space).
fn region_spaces(tables: &[u8]) -> Vec<(String, u8)> {
    let name_byte = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let mut spaces = Vec::new();
    for (at, _) in tables
        .windows(2)
        .enumerate()
        .filter(|(_, two)| *two == [0x5b, 0x80])
    {
        let rest = &tables[at + 2..];
        let prefix = rest.iter().take_while(|byte| b"\\^".contains(byte)).count();
        // Dual and multiple name prefixes: none of QEMU's regions has one, and one that did would be a finding.
        let Some(name) = rest
            .get(prefix..prefix + 4)
            .filter(|name| name.iter().all(name_byte))
        else {
            panic!("a region with a name of another form at {at}");
        };
        spaces.push((String::from_utf8(name.to_vec()).unwrap(), rest[prefix + 4]));
    }
    spaces
}

#[tokio::test(flavor = "multi_thread")]
async fn code_in_the_tables_touches_ports_and_pci_configuration_only() {
    let guest = Guest::build("").await.unwrap();
    for (vcpus, memory) in [(1, 1024), (64, 128 << 10)] {
        let tables = FwCfg::read(&guest.tools, &guest.image, &config(vcpus, memory)).unwrap();
        let spaces = region_spaces(&tables.tables);
        // The kernel runs this code with its own rights: a region of memory (0) could be any of the guest's.
        assert!(
            spaces.iter().all(|(_, space)| [1, 2].contains(space)),
            "{spaces:?}"
        );
        assert!(spaces.iter().any(|(_, space)| *space == 1), "{spaces:?}");
        println!("{spaces:?}");
    }
    let memory = b"\x5b\x80\\EVIL\x00\x0a";
    assert_eq!(region_spaces(memory), [("EVIL".to_owned(), 0)]);
}
