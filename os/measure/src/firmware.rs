//! Which build of edk2 a firmware file is, and the settings it measures besides tables and variables.

/// What a firmware that measures fw_cfg files on its own, before its compressed volumes are unpacked, writes beside each
/// (edk2 OvmfPkg/Library/QemuFwCfgLib).
const FW_CFG_EVENT: &[u8] = b"QEMU FW CFG\0";
/// The uncompressed volume of code is in the last bytes of the file.
const CODE: usize = 256 << 10;

/// Builds of edk2 differ in what they measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirmwareBuild {
    /// `OvmfPkgX64` before edk2-stable202505, without Secure Boot. Logs of real TDs are of this one.
    Ovmf,
    /// `IntelTdxX64` of edk2-stable202608 with Secure Boot and without its keys.
    IntelTdx,
}

impl FirmwareBuild {
    /// Of a firmware file. A build that is neither is taken for one of the two, and its registers match nothing.
    #[must_use]
    pub fn of(firmware: &[u8]) -> Self {
        let code = firmware
            .get(firmware.len().saturating_sub(CODE)..)
            .unwrap_or_default();
        match code.windows(FW_CFG_EVENT.len()).any(|text| text == FW_CFG_EVENT) {
            true => Self::IntelTdx,
            false => Self::Ovmf,
        }
    }
}

/// A setting in fw_cfg that [`FirmwareBuild::IntelTdx`] measures where QEMU has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Name of the event.
    pub event: &'static str,
    /// The file, or none for the one setting that has a fixed selector and always is there.
    pub file: Option<&'static str>,
    /// Its size in bytes where it has a fixed one; a file of another is passed over.
    pub size: Option<u32>,
}

/// Selector of the setting without a file: FW_CFG_BOOT_MENU.
pub const BOOT_MENU: u16 = 0x0e;

/// In the order they are measured.
pub const SETTINGS: [Setting; 6] = [
    Setting::file("etc/extra-pci-roots", Some(8)),
    Setting {
        event: "boot menu",
        file: None,
        size: Some(2),
    },
    Setting::file("etc/boot-menu-wait", Some(2)),
    Setting::file("etc/reserved-memory-end", Some(8)),
    Setting::file("opt/ovmf/X-PciMmio64Mb", None),
    Setting::file("bootorder", None),
];

impl Setting {
    const fn file(name: &'static str, size: Option<u32>) -> Self {
        Self {
            event: name,
            file: Some(name),
            size,
        }
    }
}
