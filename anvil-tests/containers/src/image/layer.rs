//! One layer: a tar archive with fixed times and owners, in the order given, compressed without a time stamp.

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use std::io::Write;
use tar::{Builder, EntryType, Header};

#[derive(Debug, Clone)]
struct Entry {
    path: String,
    kind: EntryType,
    mode: u32,
    owner: u64,
    bytes: Vec<u8>,
    link: Option<String>,
}

/// A layer under construction. Paths are relative to the root of the image.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    entries: Vec<Entry>,
}

impl Layer {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A folder of root.
    #[must_use]
    pub fn dir(self, path: &str, mode: u32) -> Self {
        self.entry(path, EntryType::Directory, mode, Vec::new(), None)
    }

    /// A file of root.
    #[must_use]
    pub fn file(self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.entry(path, EntryType::Regular, mode, bytes.into(), None)
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Symlink, 0o777, Vec::new(), Some(target))
    }

    /// Takes a path of the layers below away.
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let slash = if dir.is_empty() { "" } else { "/" };
        self.file(&format!("{dir}{slash}.wh.{name}"), "", 0o600)
    }

    /// Takes everything that layers below have in a folder away.
    #[must_use]
    pub fn opaque(self, dir: &str) -> Self {
        self.file(&format!("{dir}/.wh..wh..opq"), "", 0o600)
    }

    /// The last entry belongs to this user and group.
    #[must_use]
    pub fn owned_by(mut self, id: u64) -> Self {
        if let Some(entry) = self.entries.last_mut() {
            entry.owner = id;
        }
        self
    }

    fn entry(mut self, path: &str, kind: EntryType, mode: u32, bytes: Vec<u8>, link: Option<&str>) -> Self {
        self.entries.push(Entry {
            path: path.trim_matches('/').to_owned(),
            kind,
            mode,
            owner: 0,
            bytes,
            link: link.map(str::to_owned),
        });
        self
    }

    /// The uncompressed archive.
    pub(crate) fn tar(&self) -> Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for entry in &self.entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(entry.kind);
            header.set_mode(entry.mode);
            header.set_uid(entry.owner);
            header.set_gid(entry.owner);
            header.set_mtime(0);
            header.set_size(u64::try_from(entry.bytes.len())?);
            let added = match &entry.link {
                Some(target) => builder.append_link(&mut header, &entry.path, target),
                None => builder.append_data(&mut header, &entry.path, entry.bytes.as_slice()),
            };
            added.with_context(|| format!("layer entry {}", entry.path))?;
        }
        Ok(builder.into_inner()?)
    }
}

/// Compressed as layers are; level 1, since a test waits for it.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
