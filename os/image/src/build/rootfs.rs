//! The root: packages' files, ours, the guest's programs; then erofs with its dm-verity tree behind it in one file.

use super::{BuildError, Flavour, Inputs, io, own_files};
use crate::archive::tar;
use crate::tools::Tools;
use crate::tree::{Kind, Tree};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::path::Path;

/// Programs of the guest that are built from this repository.
pub(super) const PROGRAMS: [&str; 3] = ["tdxctl", "kedge-agent", "container-log-writer"];
/// Salt and names are no secrets, and a build must not choose them.
const SALT: &str = "6b65646765000000000000000000000000000000000000000000000000000000";
const FILE_SYSTEM_ID: &str = "6b656467-6500-4000-8000-000000000001";
const TREE_ID: &str = "6b656467-6500-4000-8000-000000000002";
const BLOCK: u64 = 4096;

/// How the root is opened.
pub(super) struct Root {
    pub(super) root_hash: String,
    pub(super) salt: &'static str,
    pub(super) blocks: u64,
}

pub(super) fn assemble(tree: &mut Tree, inputs: &Inputs<'_>) -> Result<(), BuildError> {
    for folder in &inputs.recipe.root.folders {
        tree.folder(folder, 0o755)?;
    }
    for (path, target) in &inputs.recipe.root.links {
        tree.link(path, target)?;
    }
    let authorities = bundle(tree);
    tree.file("etc/ssl/certs/ca-certificates.crt", 0o644, authorities)?;
    own_files(tree, &inputs.files.join("root"))?;
    tree.file("usr/lib/kedge/platform", 0o644, platform(inputs.flavour))?;
    let release = format!(
        "ID=kedge\nNAME=Kedge\nVERSION_ID={}\nVARIANT_ID={}\n",
        inputs.recipe.version,
        inputs.flavour.as_str()
    );
    tree.file("usr/lib/os-release", 0o644, release)?;
    tree.file(
        "etc/kedge-os-version",
        0o644,
        format!("{}\n", inputs.recipe.version),
    )?;
    for program in PROGRAMS {
        let path = inputs.programs.join(program);
        tree.file(
            &format!("usr/bin/{program}"),
            0o755,
            std::fs::read(&path).map_err(io(&path))?,
        )?;
    }
    Ok(())
}

/// Which TD the guest's programs speak to: the one difference between the flavours beside the programs themselves.
fn platform(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Production => "TD_SETUP=tsm\nSETUP_OPTIONS=\n",
        Flavour::Development => "TD_SETUP=port:org.kedge.td.setup\nSETUP_OPTIONS=\n",
    }
}

/// Mozilla's authorities as one file, sorted by name: what the package's script would make.
fn bundle(tree: &Tree) -> Vec<u8> {
    let mut all = Vec::new();
    for (path, entry) in tree.iter() {
        if let (true, Kind::File(bytes)) = (path.starts_with("usr/share/ca-certificates/"), &entry.kind) {
            all.extend_from_slice(bytes);
            if !bytes.ends_with(b"\n") {
                all.push(b'\n');
            }
        }
    }
    all
}

/// Writes `rootfs` into `out`.
pub(super) fn write(tree: &Tree, epoch: u64, tools: &Tools, out: &Path) -> Result<Root, BuildError> {
    let image = out.join("rootfs");
    let archive = out.join("rootfs.tar");
    let file = std::fs::File::create(&archive).map_err(io(&archive))?;
    tar(tree, epoch, std::io::BufWriter::new(file)).map_err(io(&archive))?;
    match std::fs::remove_file(&image) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&image)(error)),
        _ => {}
    }
    let time = format!("-T{epoch}");
    let id = format!("-U{FILE_SYSTEM_ID}");
    let mut arguments: Vec<&OsStr> = [
        "--quiet",
        "--tar=f",
        "-zlz4hc,9",
        "-C65536",
        "-Efragments,dedupe",
        "--all-time",
    ]
    .iter()
    .map(OsStr::new)
    .collect();
    arguments.extend([
        OsStr::new(&time),
        OsStr::new(&id),
        image.as_os_str(),
        archive.as_os_str(),
    ]);
    tools.run("usr/bin/mkfs.erofs", &arguments)?;
    std::fs::remove_file(&archive).map_err(io(&archive))?;

    let size = std::fs::metadata(&image).map_err(io(&image))?.len();
    let blocks = size.div_ceil(BLOCK);
    let file = OpenOptions::new().write(true).open(&image).map_err(io(&image))?;
    file.set_len(blocks * BLOCK).map_err(io(&image))?;
    let offset = format!("--hash-offset={}", blocks * BLOCK);
    let count = format!("--data-blocks={blocks}");
    let id = format!("--uuid={TREE_ID}");
    let salt = format!("--salt={SALT}");
    let mut arguments = vec![OsStr::new("format")];
    arguments.extend([&offset, &count, &id, &salt].map(OsStr::new));
    arguments.extend([image.as_os_str(), image.as_os_str()]);
    let said = tools.run("usr/sbin/veritysetup", &arguments)?;
    let root_hash = said
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .map(|hash| hash.trim().to_owned());
    let root_hash = root_hash.ok_or_else(|| BuildError::Missing {
        what: "root hash".to_owned(),
        place: "what veritysetup said".to_owned(),
    })?;
    Ok(Root {
        root_hash,
        salt: SALT,
        blocks,
    })
}
