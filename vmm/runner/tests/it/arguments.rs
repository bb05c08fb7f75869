//! The words QEMU is told, one by one: whatever changes here may change a register.

use crate::guest::write_image;
use kms_types::TdConfigId;
use std::path::Path;
use vm_runner::{
    Accelerator, Forward, Image, Places, Platform, QuoteSocket, Shape, TdxOptions, VmConfig, arguments,
};

const VIRTIO: &str = "disable-legacy=on,iommu_platform=on,romfile=,rombar=0";

fn words(platform: Platform, shape: Shape, forwards: Vec<Forward>) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["firmware", "kernel", "initrd", "rootfs"].map(|name| (name, vec![1]));
    write_image(folder.path(), "quiet kedge.root=00", &parts).unwrap();
    let image = Image::open(folder.path()).unwrap();
    let place = |name: &str| Path::new("/run/a,b").join(name);
    let places = Places {
        host: place("host"),
        data: place("data"),
        console: place("c"),
        progress: place("p"),
        monitor: place("m"),
        td: place("t"),
    };
    let config = VmConfig {
        platform,
        shape,
        data: None,
        forwards,
    };
    let words = arguments(&image, &config, &places).unwrap();
    let words = words
        .into_iter()
        .map(|word| word.into_string().unwrap())
        .collect();
    let at = std::fs::canonicalize(folder.path()).unwrap();
    (at.to_str().unwrap().to_owned(), words)
}

fn disk(name: &str, file: &str, read_only: bool, slot: &str) -> [String; 4] {
    [
        "-blockdev".to_owned(),
        format!(
            r#"{{"driver":"raw","node-name":"{name}","read-only":{read_only},"discard":"unmap","file":{{"driver":"file","filename":"{file}","locking":"auto"}}}}"#
        ),
        "-device".to_owned(),
        format!("virtio-blk-pci,drive={name},serial=kedge-{name},addr={slot},{VIRTIO}"),
    ]
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn begin() -> Vec<String> {
    strings(&[
        "-no-user-config",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-vga",
        "none",
        "-name",
        "kedge",
        "-run-with",
        "exit-with-parent=on",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    ])
}

const MACHINE: &str = "pc-q35-11.1,kernel-irqchip=split,smm=off,pic=off,hpet=off,vmport=off,i8042=off,usb=off,sata=off,smbus=off,memory-backend=ram";

/// From the boot files to the disks, the same everywhere.
fn files(at: &str) -> Vec<String> {
    let mut words = strings(&[
        "-smbios",
        "type=0,vendor=QEMU,version=1,date=01/01/2000",
        "-smbios",
        "type=4,processor-id=1",
        "-bios",
        &format!("{at}/firmware"),
        "-kernel",
        &format!("{at}/kernel"),
        "-initrd",
        &format!("{at}/initrd"),
        "-append",
        "quiet kedge.root=00",
    ]);
    words.extend(disk("root", &format!("{at}/rootfs"), true, "0x2"));
    words.extend(disk("host", "/run/a,b/host", true, "0x3"));
    words.extend(disk("data", "/run/a,b/data", false, "0x4"));
    words.extend(strings(&[
        "-chardev",
        "socket,id=monitor,path=/run/a,,b/m,server=off",
        "-chardev",
        "socket,id=console,path=/run/a,,b/c,server=off",
        "-chardev",
        "socket,id=progress,path=/run/a,,b/p,server=off",
    ]));
    words
}

fn ports() -> Vec<String> {
    let serial = format!("virtio-serial-pci,id=ports,max_ports=8,addr=0x5,{VIRTIO}");
    strings(&[
        "-mon",
        "chardev=monitor,mode=control",
        "-serial",
        "chardev:console",
        "-device",
        &serial,
        "-device",
        "virtserialport,bus=ports.0,nr=1,chardev=progress,name=org.kedge.progress",
    ])
}

#[test]
fn a_trust_domain_is_told_exactly_this() {
    let mut id = [0; 48];
    id[..33].copy_from_slice(&[1; 33]);
    let options = TdxOptions {
        mr_config_id: TdConfigId::new(id),
        quotes: Some(QuoteSocket::Vsock { port: 4050 }),
    };
    let (at, words) = words(Platform::Tdx(options), Shape::new(4, 8192).unwrap(), Vec::new());
    let mut expected = begin();
    expected.extend(strings(&[
        "-object",
        r#"{"qom-type":"tdx-guest","id":"tdx","mrconfigid":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAAAAAAAAAAAAAAAAAAAA","quote-generation-socket":{"type":"vsock","cid":"2","port":"4050"}}"#,
        "-accel",
        "kvm",
        "-object",
        "memory-backend-ram,id=ram,size=8192M,share=off",
        "-machine",
        &format!("{MACHINE},confidential-guest-support=tdx"),
        "-cpu",
        "host",
        "-m",
        "8192M",
        "-smp",
        "4,maxcpus=4,sockets=1,cores=4,threads=1",
    ]));
    expected.extend(files(&at));
    expected.extend(ports());
    let net = format!("virtio-net-pci,netdev=net,addr=0x6,{VIRTIO}");
    expected.extend(strings(&["-netdev", "user,id=net", "-device", &net]));
    assert_eq!(words, expected);
}

#[test]
fn a_plain_vm_with_a_software_td_is_told_exactly_this() {
    let forwards = vec!["8080:80".parse().unwrap(), "8443:443".parse().unwrap()];
    let shape = Shape::new(1, 1024).unwrap();
    let (at, words) = words(Platform::SimVm(Accelerator::Tcg), shape, forwards);
    let mut expected = begin();
    expected.extend(strings(&[
        "-accel",
        "tcg,thread=multi",
        "-object",
        "memory-backend-ram,id=ram,size=1024M,share=off",
        "-machine",
        MACHINE,
        "-cpu",
        "max",
        "-m",
        "1024M",
        "-smp",
        "1,maxcpus=1,sockets=1,cores=1,threads=1",
    ]));
    expected.extend(files(&at));
    for name in ["setup", "agent", "tool"] {
        expected.extend(strings(&[
            "-chardev",
            &format!("socket,id=org.kedge.td.{name},path=/run/a,,b/t,server=off"),
        ]));
    }
    expected.extend(ports());
    for (number, name) in [(2, "setup"), (3, "agent"), (4, "tool")] {
        expected.extend(strings(&[
            "-device",
            &format!(
                "virtserialport,bus=ports.0,nr={number},chardev=org.kedge.td.{name},name=org.kedge.td.{name}"
            ),
        ]));
    }
    let net = format!("virtio-net-pci,netdev=net,addr=0x6,{VIRTIO}");
    expected.extend(strings(&[
        "-netdev",
        "user,id=net,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:127.0.0.1:8443-:443",
        "-device",
        &net,
    ]));
    assert_eq!(words, expected);
}

#[test]
fn what_a_trust_domain_does_not_say_is_not_said_for_it() {
    let options = TdxOptions {
        mr_config_id: TdConfigId::ZERO,
        quotes: Some(QuoteSocket::Unix("/run/qgs.sock".into())),
    };
    let (_, words) = words(Platform::Tdx(options), Shape::new(1, 2048).unwrap(), Vec::new());
    let object = r#"{"qom-type":"tdx-guest","id":"tdx","quote-generation-socket":{"type":"unix","path":"/run/qgs.sock"}}"#;
    assert!(words.iter().any(|word| word == object), "{words:?}");
    assert!(
        !words.iter().any(|word| word.contains("org.kedge.td")),
        "{words:?}"
    );
}
