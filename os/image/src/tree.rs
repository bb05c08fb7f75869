//! The files of an image in memory, by path: what a build writes is a function of this map alone, so neither umask, user, clock nor
//! the order of a folder's entries shows in it. A file where another package has a folder, and a path that climbs, are refused.

use std::collections::BTreeMap;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What it is.
    pub kind: Kind,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file with its bytes.
    File(Vec<u8>),
    /// A symbolic link with its target.
    Link(String),
    /// The same file as another path of the same package.
    Same(String),
}

/// A file that has no place in an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TreeError {
    /// A path that leaves the image.
    #[error("{0:?} is not a path inside the image")]
    Path(String),
    /// A device, a socket, an owner out of range.
    #[error("{0}: expected a file, a folder or a link")]
    Kind(String),
    /// Two things at one path.
    #[error("{0} is a folder to one package and something else to another")]
    Clash(String),
    /// A hard link to nothing.
    #[error("{0} is a hard link to {1}, which is not in the image")]
    Dangling(String, String),
}

/// A path without `./` before it and `/` around it.
///
/// # Errors
/// [`TreeError::Path`] when it climbs.
pub fn clean(path: &str) -> Result<String, TreeError> {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") || path.contains('\0') {
        return Err(TreeError::Path(path.to_owned()));
    }
    Ok(parts.join("/"))
}

/// Every file of an image.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// Puts a file, in the place of one of the same path. Folders above it are made (0755, root) when missing; where such a folder is
    /// a link inside the image (`lib` → `usr/lib`), the file goes where the link leads.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn put(&mut self, path: &str, entry: Entry) -> Result<(), TreeError> {
        let path = self.resolve(&clean(path)?)?;
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above, 0o755)?;
        }
        match (self.0.get(&path).map(|known| &known.kind), &entry.kind) {
            (Some(Kind::Folder), Kind::Folder) => {}
            (Some(Kind::Link(_)), Kind::Folder) => return Ok(()),
            (Some(Kind::Folder), _) | (Some(_), Kind::Folder) => return Err(TreeError::Clash(path)),
            _ => {}
        }
        self.0.insert(path, entry);
        Ok(())
    }

    /// Makes a folder and those above it, unless they are there.
    ///
    /// # Errors
    /// When something else is at one of the paths.
    pub fn folder(&mut self, path: &str, mode: u32) -> Result<(), TreeError> {
        let path = self.resolve(&clean(path)?)?;
        for (end, _) in path.match_indices('/').chain(std::iter::once((path.len(), ""))) {
            let Some(part) = path.get(..end) else { continue };
            match self.0.get(part).map(|known| &known.kind) {
                Some(Kind::Folder) => {}
                Some(_) => return Err(TreeError::Clash(part.to_owned())),
                None => {
                    let mode = if end == path.len() { mode } else { 0o755 };
                    let entry = Entry {
                        mode,
                        uid: 0,
                        gid: 0,
                        kind: Kind::Folder,
                    };
                    self.0.insert(part.to_owned(), entry);
                }
            }
        }
        Ok(())
    }

    /// A file of root's.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Result<(), TreeError> {
        let kind = Kind::File(bytes.into());
        self.put(
            path,
            Entry {
                mode,
                uid: 0,
                gid: 0,
                kind,
            },
        )
    }

    /// A symbolic link.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), TreeError> {
        let kind = Kind::Link(target.to_owned());
        self.put(
            path,
            Entry {
                mode: 0o777,
                uid: 0,
                gid: 0,
                kind,
            },
        )
    }

    /// The path with links of the image in the folders above it followed.
    fn resolve(&self, path: &str) -> Result<String, TreeError> {
        let mut done = String::new();
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        for _ in 0..256 {
            let Some(part) = rest.pop() else { return Ok(done) };
            let here = if done.is_empty() {
                part
            } else {
                format!("{done}/{part}")
            };
            match self.0.get(&here).map(|entry| &entry.kind) {
                Some(Kind::Link(target)) if !rest.is_empty() => {
                    let from = if target.starts_with('/') {
                        ""
                    } else {
                        done.as_str()
                    };
                    let target = normal(from, target).ok_or_else(|| TreeError::Path(path.to_owned()))?;
                    done.clear();
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                _ => done = here,
            }
        }
        Err(TreeError::Path(path.to_owned()))
    }

    /// The bytes of a file, links not followed in its last part.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        match &self.0.get(&self.resolve(path).ok()?)?.kind {
            Kind::File(bytes) => Some(bytes),
            Kind::Same(other) => match &self.0.get(&self.resolve(other).ok()?)?.kind {
                Kind::File(bytes) => Some(bytes),
                _ => None,
            },
            _ => None,
        }
    }

    /// Every file, sorted by path: a folder stands before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Turns hard links into files of their own, so that every writer tells the same tree.
    ///
    /// # Errors
    /// [`TreeError::Dangling`].
    pub fn settle(&mut self) -> Result<(), TreeError> {
        let links: Vec<(String, String)> = self
            .0
            .iter()
            .filter_map(|(path, entry)| match &entry.kind {
                Kind::Same(other) => Some((path.clone(), other.clone())),
                _ => None,
            })
            .collect();
        for (path, other) in links {
            let same = self
                .resolve(&other)
                .ok()
                .and_then(|other| self.0.get(&other))
                .cloned();
            match same {
                Some(entry) if matches!(entry.kind, Kind::File(_) | Kind::Link(_)) => {
                    self.0.insert(path, entry);
                }
                _ => return Err(TreeError::Dangling(path, other)),
            }
        }
        Ok(())
    }
}

/// `target` seen from the folder `from`, both inside the image; `None` when it climbs out.
fn normal(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
