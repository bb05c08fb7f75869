//! An OS image as a VM is started from: a folder with `image.json` and the four files it names. Refuses files of another size, and
//! on request of another hash; names that lead out of the folder; and descriptions it does not know.

use crate::{RunnerError, Shape, ToolRoot};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, copy},
    path::{Path, PathBuf},
};

/// Bytes of `image.json`.
pub const MAX_IMAGE_JSON: u64 = 1 << 20;
/// Shapes of one image.
const MAX_SHAPES: usize = 4096;
/// Bytes of a block of the rootfs.
const BLOCK: u64 = 4096;
const VERITYSETUP: &str = "usr/sbin/veritysetup";
const FORMAT: &str = "kedge/image/v1";
/// Bytes of a command line: what x86 kernels take.
const MAX_COMMAND_LINE: usize = 2047;

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFile {
    /// Firmware.
    Firmware,
    /// Kernel.
    Kernel,
    /// First file system of the kernel.
    Initrd,
    /// Root file system with its hash tree.
    Rootfs,
}

impl ImageFile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Firmware, Self::Kernel, Self::Initrd, Self::Rootfs];

    /// Name in `image.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Rootfs => "rootfs",
        }
    }
}

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    folder: PathBuf,
    description: Description,
}

/// What `image.json` says that a runner needs; it says more.
#[derive(Debug, Clone, Deserialize)]
struct Description {
    format: String,
    flavour: String,
    command_line: String,
    files: BTreeMap<String, Entry>,
    root: Root,
    shapes: Shapes,
    tools: String,
}

/// The dm-verity tree of the rootfs, behind its data.
#[derive(Debug, Clone, Deserialize)]
struct Root {
    hash: String,
    blocks: u64,
    salt: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Shapes {
    vcpus: Vec<u16>,
    memory_mib: Vec<u64>,
}

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    file: String,
    size: u64,
    sha256: String,
}

fn fault(what: impl Into<String>, expected: impl ToString, actual: impl ToString) -> RunnerError {
    RunnerError::Image {
        what: what.into(),
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

impl Image {
    /// Reads the description and looks at the sizes of the files.
    ///
    /// # Errors
    /// When the description is none, or a file is missing or of another size.
    pub fn open(folder: &Path) -> Result<Self, RunnerError> {
        let path = folder.join("image.json");
        let mut text = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MAX_IMAGE_JSON + 1).read_to_end(&mut text))
            .map_err(RunnerError::io(&path))?;
        let description = parse(&text)?;
        let image = Self {
            folder: std::fs::canonicalize(folder).map_err(RunnerError::io(folder))?,
            description,
        };
        for part in ImageFile::ALL {
            let (path, entry) = (image.path(part)?, image.entry(part)?);
            let actual = std::fs::metadata(&path).map_err(RunnerError::io(&path))?.len();
            if actual != entry.size {
                return Err(fault(part.name(), format!("{} bytes", entry.size), actual));
            }
        }
        Ok(image)
    }

    /// Compares the files with their hashes.
    ///
    /// # Errors
    /// When one differs or cannot be read.
    pub fn check(&self) -> Result<(), RunnerError> {
        for part in ImageFile::ALL {
            let path = self.path(part)?;
            let mut hash = Sha256::new();
            let mut file = File::open(&path).map_err(RunnerError::io(&path))?;
            copy(&mut file, &mut hash).map_err(RunnerError::io(&path))?;
            self.compare(part, &hex::encode(hash.finalize()))?;
        }
        Ok(())
    }

    /// Compares the rootfs with the root hash on the command line, by which alone a guest knows its root.
    ///
    /// # Errors
    /// When the command line names another root than the description, or the rootfs has another.
    pub fn check_root(&self, tools: &ToolRoot) -> Result<(), RunnerError> {
        let Root { hash, blocks, salt } = &self.description.root;
        let words = |name: &str| -> Vec<&str> {
            let words = self.command_line().split(' ');
            words.filter_map(|word| word.strip_prefix(name)).collect()
        };
        for (name, expected) in [
            ("kedge.root=", hash),
            ("kedge.blocks=", &blocks.to_string()),
            ("kedge.salt=", salt),
        ] {
            let actual = words(name);
            if actual != [expected.as_str()] {
                return Err(fault(
                    "image.json: command_line",
                    format!("{name}{expected} once"),
                    format!("{actual:?}"),
                ));
            }
        }
        let rootfs = self.path(ImageFile::Rootfs)?;
        // The tree begins behind its header, which has a block of its own.
        let offset = blocks
            .checked_add(1)
            .and_then(|blocks| blocks.checked_mul(BLOCK))
            .filter(|_| hex::decode(hash).is_ok_and(|hash| hash.len() == 32));
        let Some(offset) = offset else {
            return Err(fault(
                "image.json: root",
                "a hash of 32 bytes and a number of blocks",
                format!("{hash:.80}, {blocks}"),
            ));
        };
        let output = tools
            .program(
                VERITYSETUP,
                [
                    "verify".into(),
                    rootfs.clone().into(),
                    rootfs.clone().into(),
                    hash.into(),
                    // As the guest opens it: by the command line alone, whatever the header of the tree says.
                    "--no-superblock".into(),
                    "--format=1".into(),
                    "--hash=sha256".into(),
                    "--data-block-size=4096".into(),
                    "--hash-block-size=4096".into(),
                    format!("--data-blocks={blocks}").into(),
                    format!("--hash-offset={offset}").into(),
                    format!("--salt={salt}").into(),
                ],
            )
            .output()
            .map_err(RunnerError::io(&rootfs))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        // Anything else is a program that could not do it.
        match said.contains("Verification of") {
            true => Err(fault("rootfs", format!("root hash {hash}"), said)),
            false => Err(RunnerError::Tools {
                folder: tools.folder().display().to_string(),
                expected: format!("{VERITYSETUP} to verify the rootfs"),
                actual: said,
            }),
        }
    }

    /// The shapes of VM the image is meant for.
    ///
    /// # Errors
    /// When one is no shape, or there are more than 4096.
    pub fn shapes(&self) -> Result<Vec<Shape>, RunnerError> {
        let Shapes { vcpus, memory_mib } = &self.description.shapes;
        let count = vcpus.len().saturating_mul(memory_mib.len());
        if !(1..=MAX_SHAPES).contains(&count) {
            return Err(fault("image.json: shapes", format!("1 to {MAX_SHAPES}"), count));
        }
        let pairs = vcpus
            .iter()
            .flat_map(|vcpus| memory_mib.iter().map(move |mib| (*vcpus, *mib)));
        pairs.map(|(vcpus, mib)| Shape::new(vcpus, mib)).collect()
    }

    /// Refuses another hash of a part than the description has.
    pub(crate) fn compare(&self, part: ImageFile, actual: &str) -> Result<(), RunnerError> {
        let expected = &self.entry(part)?.sha256;
        if actual == expected {
            return Ok(());
        }
        Err(fault(part.name(), format!("SHA-256 {expected}"), actual))
    }

    /// Where a part is.
    ///
    /// # Errors
    /// When the description does not name it.
    pub fn path(&self, part: ImageFile) -> Result<PathBuf, RunnerError> {
        Ok(self.folder.join(&self.entry(part)?.file))
    }

    /// The measured command line; nothing may be added to it.
    pub fn command_line(&self) -> &str {
        &self.description.command_line
    }

    /// Name of the tool folder the image was made with: 16 hex digits.
    pub fn tools(&self) -> &str {
        &self.description.tools
    }

    /// Whether the image can speak to a software TD.
    pub fn is_development(&self) -> bool {
        self.description.flavour == "development"
    }

    fn entry(&self, part: ImageFile) -> Result<&Entry, RunnerError> {
        self.description
            .files
            .get(part.name())
            .ok_or_else(|| fault("image.json", format!("a file {:?}", part.name()), "none"))
    }
}

fn parse(text: &[u8]) -> Result<Description, RunnerError> {
    if text.len() as u64 > MAX_IMAGE_JSON {
        return Err(fault(
            "image.json",
            format!("at most {MAX_IMAGE_JSON} bytes"),
            "more",
        ));
    }
    let description: Description = serde_json::from_slice(text)
        .map_err(|error| fault("image.json", "the description of an image", error))?;
    if description.format != FORMAT {
        let actual: String = description.format.chars().take(64).collect();
        return Err(fault("image.json: format", FORMAT, actual));
    }
    let line = &description.command_line;
    if line.len() > MAX_COMMAND_LINE || line.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
        let expected = format!("at most {MAX_COMMAND_LINE} printable characters");
        return Err(fault(
            "image.json: command_line",
            expected,
            format!("{} bytes", line.len()),
        ));
    }
    let tools = &description.tools;
    if tools.len() != 16 || !tools.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let actual: String = tools.chars().take(64).collect();
        return Err(fault("image.json: tools", "16 hex digits", format!("{actual:?}")));
    }
    for entry in description.files.values() {
        let mut parts = Path::new(&entry.file).components();
        let plain = matches!(parts.next(), Some(std::path::Component::Normal(_))) && parts.next().is_none();
        if !plain {
            let actual: String = entry.file.chars().take(64).collect();
            return Err(fault(
                "image.json: files",
                "names inside the folder",
                format!("{actual:?}"),
            ));
        }
    }
    Ok(description)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        for name in ["../kernel", "/kernel", "a/b", "..", "."] {
            let text = format!(
                r#"{{"format":"{FORMAT}","flavour":"x","command_line":"quiet","files":{{"kernel":{{"file":"{name}","size":1,"sha256":""}}}},"root":{{"hash":"","blocks":0,"salt":""}},"shapes":{{"vcpus":[],"memory_mib":[]}},"tools":"0123456789abcdef"}}"#
            );
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("names inside the folder"), "{name}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_description_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = parse(&bytes);
        }
    }
}
