//! An image's files as whoever boots it gets them: the root taken out of its erofs by the tools' `fsck.erofs`, the initramfs read
//! member by member. Refuses an image whose files are not those its `image.json` names.

use os_image::{
    build::Recipe,
    packages::{
        lock::Lock,
        mirror::{Mirror, default_cache},
    },
    tools::Tools,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// One file of a tree.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) path: String,
    /// Permission bits, those of setuid, setgid and sticky among them.
    pub(crate) mode: u32,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Folder,
    Link,
    Inside(Vec<u8>),
    At(PathBuf),
    Other,
}

impl Node {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(self.kind, Kind::Inside(_) | Kind::At(_))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Inside(bytes) => bytes.clone(),
            Kind::At(path) => fs::read(path).unwrap(),
            _ => Vec::new(),
        }
    }
}

/// A tree's files, by path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes(pub(crate) Vec<Node>);

impl Nodes {
    pub(crate) fn at(&self, path: &str) -> Option<&Node> {
        self.0.iter().find(|node| node.path == path)
    }

    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let node = self.at(path).filter(|node| node.is_file())?;
        String::from_utf8(node.bytes()).ok()
    }
}

/// A built image.
pub(crate) struct Opened {
    pub(crate) json: Value,
    pub(crate) root: Nodes,
    pub(crate) initrd: Nodes,
    /// The root's files, as a folder.
    pub(crate) folder: TempDir,
}

pub(crate) fn os() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn recipe() -> Recipe {
    Recipe::parse(&fs::read_to_string(os().join("image.toml")).unwrap()).unwrap()
}

pub(crate) async fn tools() -> Tools {
    // Whoever was first has said it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let lock = Lock::parse(&fs::read_to_string(os().join("packages.lock")).unwrap()).unwrap();
    let packages = default_cache().unwrap();
    let cache = packages.parent().unwrap().to_owned();
    let mirror = Mirror::of_this_machine(packages).unwrap();
    Tools::ready(&lock, &mirror, &cache).await.unwrap()
}

impl Opened {
    pub(crate) async fn open(image: &Path) -> Self {
        let tools = tools().await;
        let json: Value = serde_json::from_slice(&fs::read(image.join("image.json")).unwrap()).unwrap();
        for name in ["kernel", "initrd", "rootfs", "firmware"] {
            let said = json["files"][name]["sha256"].as_str().unwrap();
            let bytes = fs::read(image.join(name)).unwrap();
            assert_eq!(
                hex::encode(Sha256::digest(bytes)),
                said,
                "{name} of {}",
                image.display()
            );
        }
        // What is looked into here is what the measured command line lets a kernel open.
        let rootfs = image.join("rootfs");
        let offset = format!(
            "--hash-offset={}",
            (json["root"]["blocks"].as_u64().unwrap()) * 4096
        );
        let hash = json["root"]["hash"].as_str().unwrap();
        let verify = ["verify", &offset].map(OsStr::new);
        let named = [rootfs.as_os_str(), rootfs.as_os_str(), OsStr::new(hash)];
        tools
            .run("usr/sbin/veritysetup", &[&verify[..], &named[..]].concat())
            .unwrap();
        let folder = extracted(&tools, &rootfs);
        Self {
            json,
            root: walked(folder.path()),
            initrd: members(&fs::read(image.join("initrd")).unwrap()),
            folder,
        }
    }

    pub(crate) fn command_line(&self) -> Vec<String> {
        let line = self.json["command_line"].as_str().unwrap();
        line.split(' ').map(str::to_owned).collect()
    }
}

/// The files of an erofs, with their permission bits whoever runs this.
pub(crate) fn extracted(tools: &Tools, rootfs: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let to = format!("--extract={}", folder.path().display());
    let words = [&to, "--preserve-perms", "--no-preserve-owner", "--overwrite"].map(OsStr::new);
    tools
        .run(
            "usr/bin/fsck.erofs",
            &[&words[..], &[rootfs.as_os_str()]].concat(),
        )
        .unwrap();
    folder
}

/// A folder's files.
pub(crate) fn walked(root: &Path) -> Nodes {
    let mut nodes = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(next) = waiting.pop() {
        let data = fs::symlink_metadata(&next).unwrap();
        let form = data.file_type();
        let kind = if form.is_dir() {
            waiting.extend(fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()));
            Kind::Folder
        } else if form.is_symlink() {
            Kind::Link
        } else if form.is_file() {
            Kind::At(next.clone())
        } else {
            Kind::Other
        };
        nodes.push(Node {
            path: next.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
            mode: data.mode() & 0o7777,
            kind,
        });
    }
    nodes.sort_by(|one, other| one.path.cmp(&other.path));
    Nodes(nodes)
}

/// Members of a newc cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst), of which there is one and nothing
/// behind it: the kernel would unpack a second one over the first.
pub(crate) fn members(archive: &[u8]) -> Nodes {
    let mut nodes = Vec::new();
    let mut at = 0;
    loop {
        assert_eq!(&archive[at..at + 6], b"070701", "at {at}");
        let field = |number: usize| {
            let from = at + 6 + 8 * number;
            let text = std::str::from_utf8(&archive[from..from + 8]).unwrap();
            u32::from_str_radix(text, 16).unwrap()
        };
        let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
        let name = std::str::from_utf8(&archive[at + 110..at + 110 + name_size - 1]).unwrap();
        let body_at = (at + 110 + name_size).next_multiple_of(4);
        let body = archive[body_at..body_at + size].to_vec();
        at = (body_at + size).next_multiple_of(4);
        if name == "TRAILER!!!" {
            assert!(
                archive[at..].iter().all(|byte| *byte == 0),
                "bytes behind the archive"
            );
            return Nodes(nodes);
        }
        nodes.push(Node {
            path: name.to_owned(),
            mode: mode & 0o7777,
            kind: match mode & 0o170_000 {
                0o040_000 => Kind::Folder,
                0o100_000 => Kind::Inside(body),
                0o120_000 => Kind::Link,
                _ => Kind::Other,
            },
        });
    }
}
