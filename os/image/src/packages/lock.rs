//! `os/packages.toml` (what the image is made of, by name) and `os/packages.lock` (exactly which files those are, by SHA-256).
//! A lock that names a file twice, a hash of another shape or a path that leaves the archive is refused.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest lock or list that is read, bytes.
pub const MAX_FILE: u64 = 4 << 20;
/// Largest package that is fetched, bytes.
pub const MAX_PACKAGE: u64 = 512 << 20;

/// What is wanted: `os/packages.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Suites to take packages from, the first that satisfies a relation first.
    pub suites: Vec<Suite>,
    /// Sets of packages, each for one purpose.
    pub sets: Vec<Set>,
}

/// One suite of an archive.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name below `dists/`.
    pub name: String,
    /// Folder of the archive on the mirror: `debian` or `debian-security`.
    pub archive: String,
    /// Taken only where a set asks for it by name, or nothing else satisfies a relation.
    #[serde(default)]
    pub on_request: bool,
}

/// Packages for one purpose and whatever they depend on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Name of the set.
    pub name: String,
    /// Packages; `name/suite` takes it from that suite.
    pub packages: Vec<String>,
    /// Packages that are left out although something depends on them.
    #[serde(default)]
    pub without: Vec<String>,
}

/// What was chosen: `os/packages.lock`.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Seconds since 1970 of the newest suite's release: every time stamp in the image.
    pub epoch: u64,
    /// The packages, sorted by set and name.
    #[serde(rename = "package")]
    pub packages: Vec<Locked>,
}

/// One package file.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Set it belongs to.
    pub set: String,
    /// Package.
    pub name: String,
    /// Version as Debian writes it.
    pub version: String,
    /// Folder of the archive on the mirror.
    pub archive: String,
    /// Path below that folder.
    pub path: String,
    /// Length, bytes.
    pub size: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
}

/// A lock that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not TOML of this shape.
    #[error("expected packages of the form of os/packages.lock")]
    Shape(#[from] toml::de::Error),
    /// An entry that cannot be right.
    #[error("package {name}: {problem}")]
    Entry {
        /// Name of the package.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Lock {
    /// Reads and checks a lock.
    ///
    /// # Errors
    /// [`LockError`] with the first entry that cannot be right.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let lock: Self = toml::from_str(text)?;
        lock.check()?;
        Ok(lock)
    }

    /// Whether every entry can be right.
    ///
    /// # Errors
    /// [`LockError::Entry`] with the first one that cannot.
    pub fn check(&self) -> Result<(), LockError> {
        let mut seen = BTreeSet::new();
        for entry in &self.packages {
            let refuse = |problem: String| {
                Err(LockError::Entry {
                    name: entry.name.clone(),
                    problem,
                })
            };
            if !seen.insert((&entry.set, &entry.name)) {
                return refuse(format!("named twice in the set {}", entry.set));
            }
            if entry.sha256.len() != 64 || !entry.sha256.bytes().all(|b| b"0123456789abcdef".contains(&b)) {
                return refuse(format!(
                    "expected a SHA-256 of 64 lower-case hex digits, got {:?}",
                    entry.sha256
                ));
            }
            if !(1..=MAX_PACKAGE).contains(&entry.size) {
                return refuse(format!(
                    "expected a size of 1 to {MAX_PACKAGE} bytes, got {}",
                    entry.size
                ));
            }
            let parts = entry.path.split('/').chain(entry.archive.split('/'));
            if parts.clone().any(|part| {
                part.is_empty() || part == "." || part == ".." || !part.bytes().all(|b| b.is_ascii_graphic())
            }) {
                return refuse(format!(
                    "expected a path inside the archive, got {:?}",
                    entry.path
                ));
            }
        }
        Ok(())
    }

    /// The text of the file.
    ///
    /// # Errors
    /// When TOML cannot hold it.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        Ok(format!(
            "# Written by `os-image update`. Every byte of the image comes from these files and from this repository.\n{}",
            toml::to_string(self)?
        ))
    }

    /// The packages of one set.
    pub fn set<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Locked> {
        self.packages.iter().filter(move |entry| entry.set == name)
    }
}
