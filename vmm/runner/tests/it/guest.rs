//! A small guest from the locked packages: Debian's kernel, busybox, and a script that shows its devices and asks the software TD. And
//! the tool folder, unpacked where it is not there yet.

use anyhow::{Context, Result};
use os_image::{
    archive::cpio,
    build::firmware::{PACKAGED, firmware},
    deb::unpack,
    packages::{
        lock::Lock,
        mirror::{Mirror, default_cache},
    },
    tools::Tools,
    tree::{Kind, Tree},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use vm_runner::{Image, ToolRoot};

/// Modules in the order they are loaded.
const MODULES: [&str; 6] = [
    "drivers/block/virtio_blk",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "drivers/acpi/button",
    "drivers/input/evdev",
];

const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module" || echo "GUEST no $module"; done
case "$(cat /proc/cmdline)" in *kedge.test=panic*) echo c > /proc/sysrq-trigger ;; esac
port() {
    for found in /sys/class/virtio-ports/*; do
        [ "$(cat "$found/name")" = "$1" ] && echo "/dev/${found##*/}"
    done
}
echo "GUEST disks $(for disk in /sys/class/block/*/serial; do echo "$(cat "$disk")"; done | sort | tr '\n' ' ')"
for disk in /sys/class/block/vd?; do
    [ "$(cat "$disk/serial")" = kedge-host ] && echo "GUEST host $(tr -d '\0' < "/dev/${disk##*/}")"
    [ "$(cat "$disk/serial")" = kedge-root ] && echo "GUEST root $(cat "/dev/${disk##*/}" | tr -d '\0')"
    [ "$(cat "$disk/serial")" = kedge-data ] && { echo kept > "/dev/${disk##*/}"; sync; }
done
echo "GUEST line $(cat /proc/cmdline)"
echo "GUEST smbios $(base64 -w 0 /sys/firmware/dmi/tables/DMI)"
echo '{"stage":"guest","state":"running"}' > "$(port org.kedge.progress)"
echo 'not a report' > "$(port org.kedge.progress)"
exec 3<> "$(port org.kedge.td.tool)"
for ask in '{"quote":{"report_data":"0x51515151515151515151515151515151515151515151515151515151515151515151515151515151515151515151515151515151515151515151515151515151"}}' '{"extend":{"event":"app-id","payload":"0x00"}}'; do
    echo "$ask" >&3
    read -r answer <&3
    echo "GUEST answer $answer"
done
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
mkdir /www
echo served > /www/index.html
httpd -p 80 -h /www
echo "GUEST ready"
head -c 1 /dev/input/event0 > /dev/null
echo "GUEST button"
poweroff -f
"#;

/// The lock of the repository.
fn lock() -> Result<Lock> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../os/packages.lock");
    Ok(Lock::parse(&fs::read_to_string(path)?)?)
}

/// The tools, from `KEDGE_TOOLS`, else of the lock.
pub(crate) async fn tools() -> Result<ToolRoot> {
    if let Some(folder) = std::env::var_os("KEDGE_TOOLS") {
        return Ok(ToolRoot::new(Path::new(&folder))?);
    }
    // Whoever was first has said it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let packages = default_cache()?;
    let cache = packages.parent().unwrap_or(&packages).to_owned();
    let mirror = Mirror::of_this_machine(packages)?;
    let tools = Tools::ready(&lock()?, &mirror, &cache).await?;
    Ok(ToolRoot::new(tools.folder())?)
}

/// A guest in a folder of its own.
pub(crate) struct Guest {
    pub(crate) tools: ToolRoot,
    pub(crate) image: Image,
    pub(crate) folder: TempDir,
}

impl Guest {
    /// Builds it; `more` is added to its command line.
    pub(crate) async fn build(more: &str) -> Result<Self> {
        let tools = tools().await?;
        let mut packages = Tree::default();
        let mirror = Mirror::of_this_machine(default_cache()?)?;
        let lock = lock()?;
        for package in &lock.packages {
            let wanted =
                package.set == "kernel" || (package.set == "initramfs" && package.name == "busybox-static");
            if wanted {
                let deb = fs::read(mirror.file(package).await?)?;
                unpack(&deb, &mut packages, |path| {
                    path.contains("vmlinuz") || path.contains("/busybox") || path.contains(".ko")
                })?;
            }
        }
        let file = |end: &str| -> Result<Vec<u8>> {
            let mut found = packages.iter().filter(|(path, _)| path.ends_with(end));
            match found.next().map(|(_, entry)| &entry.kind) {
                Some(Kind::File(bytes)) => Ok(bytes.to_vec()),
                _ => anyhow::bail!("no {end} in the packages"),
            }
        };
        let mut tree = Tree::default();
        for folder in ["dev", "proc", "sys", "bin", "modules"] {
            tree.folder(folder, 0o755)?;
        }
        tree.file("bin/busybox", 0o755, file("bin/busybox")?)?;
        for name in [
            "sh", "mount", "insmod", "cat", "sort", "tr", "sync", "ip", "mkdir", "httpd", "head", "poweroff",
            "base64",
        ] {
            tree.link(&format!("bin/{name}"), "busybox")?;
        }
        for (number, module) in MODULES.iter().enumerate() {
            let bytes = file(&format!("{module}.ko.xz"))?;
            tree.file(&format!("modules/{number}.ko.xz"), 0o644, bytes)?;
        }
        tree.file("init", 0o755, INIT)?;
        let mut initrd = Vec::new();
        cpio(&tree, 0, &mut initrd)?;
        let packaged = fs::read(tools.folder().join(PACKAGED)).context("firmware of the tools")?;
        let firmware = firmware(&packaged)?;
        let folder = tempfile::tempdir()?;
        let line = format!("console=ttyS0 quiet panic=-1 tsc=reliable{more}");
        let parts = [
            ("firmware", firmware),
            ("kernel", file("/vmlinuz")?),
            ("initrd", initrd),
            ("rootfs", b"the root".repeat(64)),
        ];
        write_image(folder.path(), &line, &parts)?;
        let image = Image::open(folder.path())?;
        Ok(Self { tools, image, folder })
    }

    /// A path beside the image.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The folder of the programs this test was built beside.
pub(crate) fn built() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    test.ancestors()
        .nth(2)
        .expect("a test is in deps/ of its profile")
        .to_owned()
}

/// The development image that `make image` built.
pub(crate) fn built_image() -> PathBuf {
    let folder = std::env::var_os("KEDGE_IMAGE").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| built().with_file_name("image").join("development"));
    assert!(
        folder.join("image.json").is_file(),
        "{} is no image: run `make image`",
        folder.display()
    );
    folder
}

/// Writes an image of these parts.
pub(crate) fn write_image(folder: &Path, line: &str, parts: &[(&str, Vec<u8>)]) -> Result<()> {
    let mut files = serde_json::Map::new();
    for (name, bytes) in parts {
        fs::write(folder.join(name), bytes)?;
        let sha256 = hex::encode(Sha256::digest(bytes));
        files.insert(
            (*name).to_owned(),
            json!({ "file": name, "size": bytes.len(), "sha256": sha256 }),
        );
    }
    let image = json!({
        "format": "kedge/image/v1", "flavour": "development", "version": "0", "epoch": 0,
        "command_line": line, "files": files,
        "root": { "hash": "00".repeat(32), "blocks": 1, "salt": "" },
        "shapes": { "vcpus": [1, 2], "memory_mib": [512] },
        "tools": "0".repeat(16),
    });
    Ok(fs::write(folder.join("image.json"), image.to_string())?)
}
