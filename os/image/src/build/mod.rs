//! From locked packages, the files of `os/files` and the guest's programs to `kernel`, `initrd`, `rootfs`, `firmware` and
//! `image.json`. What comes out is a function of these inputs alone: no clock, user, folder, umask or locale takes part.

pub mod firmware;
mod initramfs;
mod modules;
mod recipe;
mod rootfs;
mod sbom;

pub use recipe::{Recipe, RecipeError};

use crate::archive::cpio;
use crate::deb::{DebError, unpack};
use crate::packages::lock::Lock;
use crate::packages::mirror::Mirror;
use crate::tools::{Tools, ToolsError};
use crate::tree::{Kind, Tree, TreeError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Which image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Flavour {
    /// Speaks to TDX hardware only.
    Production,
    /// Speaks to a software TD only.
    Development,
}

impl Flavour {
    /// As `image.json` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Development => "development",
        }
    }
}

/// An image that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A package cannot be fetched.
    #[error("{0:#}")]
    Mirror(anyhow::Error),
    /// A package cannot be unpacked.
    #[error(transparent)]
    Package(#[from] DebError),
    /// A file has no place.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A tool failed.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// The firmware must not be used.
    #[error(transparent)]
    Firmware(#[from] firmware::FirmwareError),
    /// A file cannot be read or written.
    #[error("{path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A set lacks what the image needs.
    #[error("{what}: expected it in {place}, it is not there")]
    Missing {
        /// What.
        what: String,
        /// Where it was looked for.
        place: String,
    },
}

pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> BuildError + '_ {
    move |source| BuildError::Io {
        path: path.to_owned(),
        source,
    }
}

/// What an image is built from.
pub struct Inputs<'a> {
    /// Packages.
    pub lock: &'a Lock,
    /// Where they are had.
    pub mirror: &'a Mirror,
    /// Programs that make file systems.
    pub tools: &'a Tools,
    /// What is made of them.
    pub recipe: &'a Recipe,
    /// `os/files`.
    pub files: &'a Path,
    /// Folder with `tdxctl`, `kedge-agent` and `container-log-writer`.
    pub programs: &'a Path,
    /// Which image.
    pub flavour: Flavour,
}

impl Inputs<'_> {
    /// Changes when anything an image is built from does, this program included.
    fn digest(&self) -> Result<String, BuildError> {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        let this = std::env::current_exe().map_err(io(Path::new("this program")))?;
        add(&std::fs::read(&this).map_err(io(&this))?);
        add(format!("{:?}{:?}{:?}", self.lock, self.recipe, self.flavour).as_bytes());
        let mut files = Tree::default();
        own_files(&mut files, self.files)?;
        for (path, entry) in files.iter() {
            add(path.as_bytes());
            if let Kind::File(bytes) = &entry.kind {
                add(bytes);
            }
        }
        for program in rootfs::PROGRAMS {
            let path = self.programs.join(program);
            add(&std::fs::read(&path).map_err(io(&path))?);
        }
        Ok(hex::encode(hash.finalize()))
    }
}

/// Builds an image into `out`; gives its `image.json`. `progress` is told what is being done.
///
/// # Errors
/// [`BuildError`]; `image.json` is written last, so a folder without one is no image.
pub async fn build(inputs: &Inputs<'_>, out: &Path, progress: &dyn Fn(&str)) -> Result<Value, BuildError> {
    std::fs::create_dir_all(out).map_err(io(out))?;
    let (stamp, of) = (out.join("inputs"), inputs.digest()?);
    if let (Ok(known), Ok(image)) = (
        std::fs::read_to_string(&stamp),
        std::fs::read(out.join("image.json")),
    ) && known == of
        && let Ok(image) = serde_json::from_slice(&image)
    {
        progress("nothing changed since it was built");
        return Ok(image);
    }
    // What is left of another build is no image while this one goes on.
    for name in ["image.json", "catalogue.json"] {
        let _ = std::fs::remove_file(out.join(name));
    }
    let epoch = inputs.lock.epoch;
    progress("kernel and modules");
    let kernel = set(inputs, "kernel", |path| path.starts_with("usr/lib/modules/")).await?;
    let modules = modules::Modules::new(&kernel)?;
    let kernel_file = write(out, "kernel", modules.vmlinuz())?;

    progress("initramfs");
    let mut tree = set(inputs, "initramfs", initramfs::wanted).await?;
    initramfs::assemble(&mut tree, &modules.closure(&inputs.recipe.modules)?, inputs.files)?;
    let mut bytes = Vec::new();
    cpio(&tree, epoch, &mut bytes).map_err(io(out))?;
    let initrd_file = write(out, "initrd", &bytes)?;

    progress("root file system");
    let mut tree = set(inputs, "root", |path| inputs.recipe.wants(path)).await?;
    rootfs::assemble(&mut tree, inputs)?;
    let root = rootfs::write(&tree, epoch, inputs.tools, out)?;
    let rootfs_file = described("rootfs", &std::fs::read(out.join("rootfs")).map_err(io(out))?);

    let firmware = firmware::firmware(&inputs.tools.read(firmware::PACKAGED)?)?;
    let firmware_file = write(out, "firmware", &firmware)?;
    let command_line = format!(
        "{} kedge.root={} kedge.blocks={} kedge.salt={}",
        inputs.recipe.command_line.join(" "),
        root.root_hash,
        root.blocks,
        root.salt
    );
    let packages = sbom::packages(inputs.lock);
    write(
        out,
        "sbom.json",
        sbom::document(inputs, &packages).to_string().as_bytes(),
    )?;
    let image = json!({
        "format": "kedge/image/v1",
        "flavour": inputs.flavour.as_str(),
        "version": inputs.recipe.version,
        "epoch": epoch,
        "command_line": command_line,
        "files": {
            "kernel": kernel_file, "initrd": initrd_file, "rootfs": rootfs_file, "firmware": firmware_file,
        },
        "shapes": inputs.recipe.shapes,
        "tools": inputs.tools.name(),
        "root": { "hash": root.root_hash, "blocks": root.blocks, "salt": root.salt },
    });
    let text = serde_json::to_string_pretty(&image).map_err(|error| io(out)(error.into()))?;
    std::fs::write(&stamp, of).map_err(io(&stamp))?;
    write(out, "image.json", format!("{text}\n").as_bytes())?;
    Ok(image)
}

/// The files of a set that `keep` wants.
async fn set(inputs: &Inputs<'_>, name: &str, keep: impl Fn(&str) -> bool) -> Result<Tree, BuildError> {
    let mut tree = Tree::default();
    // Debian's merged /usr: packages put files at both names.
    for folder in ["bin", "sbin", "lib", "lib64"] {
        tree.folder(&format!("usr/{folder}"), 0o755)?;
        tree.link(folder, &format!("usr/{folder}"))?;
    }
    for package in inputs.lock.set(name) {
        let file = inputs.mirror.file(package).await.map_err(BuildError::Mirror)?;
        let bytes = std::fs::read(&file).map_err(io(&file))?;
        unpack(&bytes, &mut tree, &keep)?;
    }
    tree.settle()?;
    Ok(tree)
}

/// Puts every file below a folder of the repository into the tree. A file's first two bytes say whether it is a program.
pub(crate) fn own_files(tree: &mut Tree, folder: &Path) -> Result<(), BuildError> {
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).map_err(io(&next))? {
            let path = entry.map_err(io(&next))?.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).map_err(io(&path))?;
            let mode = if bytes.starts_with(b"#!") { 0o755 } else { 0o644 };
            let inside = path.strip_prefix(folder).unwrap_or(&path);
            tree.file(&inside.to_string_lossy(), mode, bytes)?;
        }
    }
    Ok(())
}

fn described(name: &str, bytes: &[u8]) -> Value {
    json!({ "file": name, "size": bytes.len(), "sha256": hex::encode(Sha256::digest(bytes)) })
}

fn write(out: &Path, name: &str, bytes: &[u8]) -> Result<Value, BuildError> {
    let path = out.join(name);
    std::fs::write(&path, bytes).map_err(io(&path))?;
    Ok(described(name, bytes))
}
