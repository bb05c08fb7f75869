//! RTMR0 to RTMR2 of a direct boot: which events firmware and kernel stub measure, in which order, and the registers they
//! lead to (UEFI 2.11 section 38, confidential computing measurement; TCG PC Client Platform Firmware Profile).

use crate::FirmwareBuild;
use kms_types::Rtmr;
use sha2::{Digest, Sha384};

/// 8be4df61-93ca-11d2-aa0d-00e098032b8c: EFI_GLOBAL_VARIABLE.
const GLOBAL: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];
/// d719b2cb-3d3a-4596-a3bc-dad00e67656f: EFI_IMAGE_SECURITY_DATABASE.
const IMAGE_SECURITY: [u8; 16] = [
    0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f,
];
/// 7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1: firmware volume of edk2's DXE phase.
const DXE_VOLUME: [u8; 16] = [
    0xc9, 0xbd, 0xb8, 0x7c, 0xeb, 0xf8, 0x34, 0x4f, 0xaa, 0xea, 0x3e, 0xe4, 0xaf, 0x65, 0x16, 0xa1,
];
/// 462caa21-7614-4503-836e-8ab6f4662331: edk2's UiApp.
const UI_APP: [u8; 16] = [
    0x21, 0xaa, 0x2c, 0x46, 0x14, 0x76, 0x03, 0x45, 0x83, 0x6e, 0x8a, 0xb6, 0xf4, 0x66, 0x23, 0x31,
];
/// eec25bdc-67f2-4d95-b1d5-f81b2039d11d: edk2's BootManagerMenuApp.
const BOOT_MENU_APP: [u8; 16] = [
    0xdc, 0x5b, 0xc2, 0xee, 0xf2, 0x67, 0x95, 0x4d, 0xb1, 0xd5, 0xf8, 0x1b, 0x20, 0x39, 0xd1, 0x1d,
];
/// LOAD_OPTION_ACTIVE | LOAD_OPTION_HIDDEN | LOAD_OPTION_CATEGORY_APP.
const HIDDEN_APP: u32 = 0x109;
/// SHA-384 digest of one measured event.
pub type EventDigest = [u8; 48];

/// One event of a register, with the name a report shows it under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredEvent {
    /// What was measured.
    pub name: &'static str,
    /// Its digest.
    pub digest: EventDigest,
}

/// Digests of what QEMU hands the firmware over fw_cfg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwCfgDigests {
    /// Those of [`SETTINGS`](crate::SETTINGS) that are there, in that order.
    pub settings: Vec<MeasuredEvent>,
    /// `etc/table-loader`.
    pub loader: EventDigest,
    /// `etc/acpi/rsdp`.
    pub rsdp: EventDigest,
    /// `etc/acpi/tables`.
    pub tables: EventDigest,
    /// [`measured_smbios`](crate::measured_smbios) of `etc/smbios/smbios-tables`.
    pub smbios: EventDigest,
}

/// The register after its events.
pub fn replay(events: &[MeasuredEvent]) -> Rtmr {
    events
        .iter()
        .fold(Rtmr::ZERO, |register, event| register.extended(&event.digest))
}

/// Events of RTMR0 of a firmware without Secure Boot keys, started with `-kernel`.
///
/// `td_hob` is [`td_hob_digest`](crate::td_hob_digest), `config_volume` the digest of the firmware's configuration volume.
pub fn rtmr0_events(
    build: FirmwareBuild,
    td_hob: EventDigest,
    config_volume: EventDigest,
    host: &FwCfgDigests,
) -> Vec<MeasuredEvent> {
    let named = |name, digest| MeasuredEvent { name, digest };
    let mut events = vec![
        named("TD HOB", td_hob),
        named("configuration firmware volume", config_volume),
    ];
    // A firmware that knows Secure Boot says that it is off; the other has no such variable.
    let off: &[u8] = match build {
        FirmwareBuild::Ovmf => &[],
        FirmwareBuild::IntelTdx => {
            events.extend(host.settings.iter().cloned());
            &[0]
        }
    };
    events.extend([
        named("SecureBoot", variable(&GLOBAL, "SecureBoot", off)),
        named("PK", variable(&GLOBAL, "PK", &[])),
        named("KEK", variable(&GLOBAL, "KEK", &[])),
        named("db", variable(&IMAGE_SECURITY, "db", &[])),
        named("dbx", variable(&IMAGE_SECURITY, "dbx", &[])),
        named("separator", separator()),
        named("ACPI loader", host.loader),
        named("ACPI RSDP", host.rsdp),
        named("ACPI tables", host.tables),
    ]);
    let option = match build {
        FirmwareBuild::Ovmf => boot_option("UiApp\0", &UI_APP),
        FirmwareBuild::IntelTdx => {
            events.push(named("SMBIOS", host.smbios));
            boot_option("BootManagerMenuApp\0", &BOOT_MENU_APP)
        }
    };
    events.extend([named("BootOrder", sha384(&[0, 0])), named("Boot0000", option)]);
    events
}

/// Events of RTMR1; `kernel` is [`kernel_digest`](crate::kernel_digest).
pub fn rtmr1_events(kernel: EventDigest) -> Vec<MeasuredEvent> {
    let said = |text: &'static str| MeasuredEvent {
        name: text,
        digest: sha384(text.as_bytes()),
    };
    vec![
        MeasuredEvent {
            name: "kernel",
            digest: kernel,
        },
        said("Calling EFI Application from Boot Option"),
        MeasuredEvent {
            name: "separator",
            digest: separator(),
        },
        said("Exit Boot Services Invocation"),
        said("Exit Boot Services Returned with Success"),
    ]
}

/// Events of RTMR2. The firmware adds the name of the initrd to the command line before the kernel measures it.
pub fn rtmr2_events(build: FirmwareBuild, command_line: &str, initrd: EventDigest) -> Vec<MeasuredEvent> {
    let line = match build {
        FirmwareBuild::Ovmf => format!("{command_line} initrd=initrd\0"),
        FirmwareBuild::IntelTdx => format!("initrd=initrd {command_line}\0"),
    };
    vec![
        MeasuredEvent {
            name: "command line",
            digest: sha384(&utf16le(&line)),
        },
        MeasuredEvent {
            name: "initrd",
            digest: initrd,
        },
    ]
}

/// SHA-384 of some bytes.
pub fn sha384(bytes: &[u8]) -> EventDigest {
    Sha384::digest(bytes).into()
}

/// EV_SEPARATOR: four zero bytes.
fn separator() -> EventDigest {
    sha384(&[0; 4])
}

/// EV_EFI_VARIABLE_DRIVER_CONFIG: UEFI_VARIABLE_DATA.
fn variable(vendor: &[u8; 16], name: &str, data: &[u8]) -> EventDigest {
    Sha384::new()
        .chain_update(vendor)
        .chain_update((name.len() as u64).to_le_bytes())
        .chain_update((data.len() as u64).to_le_bytes())
        .chain_update(utf16le(name))
        .chain_update(data)
        .finalize()
        .into()
}

/// The one boot option of a firmware without variables: a program of its own.
fn boot_option(name: &str, program: &[u8; 16]) -> EventDigest {
    let mut path = Vec::with_capacity(44);
    // Media device path: firmware volume, firmware file; then the end of the path.
    for (kind, guid) in [(7, &DXE_VOLUME), (6, program)] {
        path.extend_from_slice(&[4, kind, 20, 0]);
        path.extend_from_slice(guid);
    }
    path.extend_from_slice(&[0x7f, 0xff, 4, 0]);
    let length = u16::try_from(path.len()).unwrap_or(u16::MAX);
    Sha384::new()
        .chain_update(HIDDEN_APP.to_le_bytes())
        .chain_update(length.to_le_bytes())
        .chain_update(utf16le(name))
        .chain_update(path)
        .finalize()
        .into()
}

fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
