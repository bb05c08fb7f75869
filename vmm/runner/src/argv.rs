//! What QEMU is told. Pure: the same input gives the same words, on every machine.
//!
//! What reaches a register is pinned: machine type and its switches, the devices and their slots, the vCPU topology, memory and
//! the three boot files. The tests hold the words one by one.

use crate::{
    Accelerator, Forward, Image, ImageFile, Platform, QuoteSocket, RunnerError, VmConfig, tools::MACHINE,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Serialize;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Virtio-serial ports of the software TD: a port has one opener, so each process of the guest that needs the TD has its own.
pub const TD_PORTS: [&str; 3] = ["org.kedge.td.setup", "org.kedge.td.agent", "org.kedge.td.tool"];

/// Devices do not depend on anything QEMU would choose: slot, ROM and transport are said. Behind an IOMMU, as a TD needs it.
const VIRTIO: &str = "disable-legacy=on,iommu_platform=on,romfile=,rombar=0";
/// No legacy controller that the firmware would find, and nothing whose presence depends on the accelerator.
const SWITCHES: &str =
    "kernel-irqchip=split,smm=off,pic=off,hpet=off,vmport=off,i8042=off,usb=off,sata=off,smbus=off";

/// Files and sockets of a VM on the host. Every socket is listened at before QEMU starts.
#[derive(Debug, Clone)]
pub struct Places {
    /// The host's document, padded to whole sectors.
    pub host: PathBuf,
    /// The data disk.
    pub data: PathBuf,
    /// The console.
    pub console: PathBuf,
    /// Reports of the guest.
    pub progress: PathBuf,
    /// The monitor.
    pub monitor: PathBuf,
    /// The software TD.
    pub td: PathBuf,
}

/// The words after the program's name.
///
/// # Errors
/// When a path is not UTF-8 or the forwarded ports are none.
pub fn arguments(image: &Image, config: &VmConfig, places: &Places) -> Result<Vec<OsString>, RunnerError> {
    config.check()?;
    let mut words = Words::default();
    words.add([
        "-no-user-config",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-vga",
        "none",
    ]);
    words.add(["-name", "kedge", "-run-with", "exit-with-parent=on"]);
    // A guest that breaks out of QEMU's devices finds a process that can start no other.
    words.add([
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    ]);
    machine(&mut words, config)?;
    smbios(&mut words);
    let part = |part| image.path(part);
    words.option("-bios", path(&part(ImageFile::Firmware)?)?);
    words.option("-kernel", path(&part(ImageFile::Kernel)?)?);
    words.option("-initrd", path(&part(ImageFile::Initrd)?)?);
    words.option("-append", image.command_line());
    disk(&mut words, "root", 2, &part(ImageFile::Rootfs)?, true)?;
    disk(&mut words, "host", 3, &places.host, true)?;
    disk(&mut words, "data", 4, &places.data, false)?;
    serial(&mut words, config, places)?;
    network(&mut words, &config.forwards);
    Ok(words.0)
}

fn machine(words: &mut Words, config: &VmConfig) -> Result<(), RunnerError> {
    let (accelerator, cpu) = match config.platform {
        Platform::Tdx(_) | Platform::SimVm(Accelerator::Kvm) => ("kvm", "host"),
        Platform::SimVm(Accelerator::Tcg) => ("tcg,thread=multi", "max"),
    };
    let mut machine = format!("{MACHINE},{SWITCHES},memory-backend=ram");
    if let Platform::Tdx(options) = &config.platform {
        let quotes = match &options.quotes {
            None => None,
            Some(QuoteSocket::Unix(socket)) => Some(QuoteAddress::Unix { path: path(socket)? }),
            Some(QuoteSocket::Vsock { port }) => Some(QuoteAddress::Vsock {
                cid: "2",
                port: port.to_string(),
            }),
        };
        let bound = !options.mr_config_id.is_zero();
        let object = TdxGuest {
            kind: "tdx-guest",
            id: "tdx",
            mrconfigid: bound.then(|| BASE64.encode(options.mr_config_id.as_bytes())),
            quotes,
        };
        words.option("-object", json(&object)?);
        machine.push_str(",confidential-guest-support=tdx");
    }
    let (mib, vcpus) = (config.shape.memory_mib(), config.shape.vcpus());
    words.option("-accel", accelerator);
    words.option(
        "-object",
        format!("memory-backend-ram,id=ram,size={mib}M,share=off"),
    );
    words.option("-machine", &machine);
    words.option("-cpu", cpu);
    words.option("-m", format!("{mib}M"));
    words.option(
        "-smp",
        format!("{vcpus},maxcpus={vcpus},sockets=1,cores={vcpus},threads=1"),
    );
    Ok(())
}

/// What the firmware measures of these tables is then a function of the shape: it would make the first one itself, and QEMU would put
/// the model of the host's processor into the other.
fn smbios(words: &mut Words) {
    words.option("-smbios", "type=0,vendor=QEMU,version=1,date=01/01/2000");
    words.option("-smbios", "type=4,processor-id=1");
}

/// A virtio disk that the guest knows by its serial.
fn disk(words: &mut Words, name: &str, slot: u8, file: &Path, read_only: bool) -> Result<(), RunnerError> {
    let drive = Drive {
        driver: "raw",
        node_name: name,
        read_only,
        discard: "unmap",
        file: DriveFile {
            driver: "file",
            filename: path(file)?,
            locking: "auto",
        },
    };
    words.option("-blockdev", json(&drive)?);
    words.option(
        "-device",
        format!("virtio-blk-pci,drive={name},serial=kedge-{name},addr={slot:#x},{VIRTIO}"),
    );
    Ok(())
}

fn serial(words: &mut Words, config: &VmConfig, places: &Places) -> Result<(), RunnerError> {
    let mut channel = |id: &str, socket: &Path| -> Result<(), RunnerError> {
        let socket = path(socket)?.replace(',', ",,");
        words.option("-chardev", format!("socket,id={id},path={socket},server=off"));
        Ok(())
    };
    channel("monitor", &places.monitor)?;
    channel("console", &places.console)?;
    channel("progress", &places.progress)?;
    let simulated = matches!(config.platform, Platform::SimVm(_));
    if simulated {
        for port in TD_PORTS {
            channel(port, &places.td)?;
        }
    }
    words.option("-mon", "chardev=monitor,mode=control");
    words.option("-serial", "chardev:console");
    words.option(
        "-device",
        format!("virtio-serial-pci,id=ports,max_ports=8,addr=0x5,{VIRTIO}"),
    );
    let mut port = |number: u8, chardev: &str, name: &str| {
        words.option(
            "-device",
            format!("virtserialport,bus=ports.0,nr={number},chardev={chardev},name={name}"),
        );
    };
    port(1, "progress", "org.kedge.progress");
    if simulated {
        for (number, name) in (2..).zip(TD_PORTS) {
            port(number, name, name);
        }
    }
    Ok(())
}

fn network(words: &mut Words, forwards: &[Forward]) {
    let mut net = "user,id=net".to_owned();
    for Forward { host, guest } in forwards {
        net.push_str(&format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"));
    }
    words.option("-netdev", &net);
    words.option("-device", format!("virtio-net-pci,netdev=net,addr=0x6,{VIRTIO}"));
}

fn path(path: &Path) -> Result<&str, RunnerError> {
    path.to_str().ok_or_else(|| RunnerError::Config {
        what: "path",
        expected: "UTF-8".to_owned(),
        actual: path.display().to_string(),
    })
}

/// JSON where a value is an object, or holds a path whose commas would separate options.
fn json(value: &impl Serialize) -> Result<String, RunnerError> {
    serde_json::to_string(value).map_err(|error| RunnerError::Config {
        what: "arguments",
        expected: "values that JSON holds".to_owned(),
        actual: error.to_string(),
    })
}

#[derive(Serialize)]
struct TdxGuest<'a> {
    #[serde(rename = "qom-type")]
    kind: &'static str,
    id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mrconfigid: Option<String>,
    #[serde(rename = "quote-generation-socket", skip_serializing_if = "Option::is_none")]
    quotes: Option<QuoteAddress<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum QuoteAddress<'a> {
    Unix { path: &'a str },
    Vsock { cid: &'static str, port: String },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Drive<'a> {
    driver: &'static str,
    node_name: &'a str,
    read_only: bool,
    discard: &'static str,
    file: DriveFile<'a>,
}

#[derive(Serialize)]
struct DriveFile<'a> {
    driver: &'static str,
    filename: &'a str,
    locking: &'static str,
}

#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn add<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.0.extend(words.into_iter().map(OsString::from));
    }

    fn option(&mut self, name: &str, value: impl AsRef<str>) {
        self.add([name, value.as_ref()]);
    }
}
