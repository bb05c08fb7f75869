//! Files a container sees: volumes, host paths, tmpfs, secrets, configs.

use crate::{
    names::{HostName, VolumeName},
    units::{ByteSize, FileMode},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// One mount; targets are absolute, normal paths and each stands once in a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Path inside the container.
    pub target: String,
    /// Whether the container may only read it.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A path outside the container.
    Bind {
        /// Absolute, or beginning with `./`: relative to the project's folder. Never leads out of it through `..`.
        path: String,
        /// Whether a missing path is made as a folder.
        create: bool,
        /// Whether mounts below it come along (`rbind`); true unless the file says otherwise.
        recursive: bool,
    },
    /// A volume.
    Volume {
        /// Key of the project's `volumes`; absent: one of the container's own.
        name: Option<VolumeName>,
        /// Whether an empty volume stays empty instead of getting the image's files.
        no_copy: bool,
        /// Folder inside the volume, relative and normal.
        subpath: Option<String>,
    },
    /// Memory.
    Tmpfs(Tmpfs),
}

/// A file system in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tmpfs {
    /// Most bytes; absent: the kernel's half of memory.
    pub size: Option<ByteSize>,
    /// Mode of its root; absent: 01777.
    pub mode: Option<FileMode>,
    /// Owner of its root.
    pub uid: Option<u32>,
    /// Group of its root.
    pub gid: Option<u32>,
    /// Whether programs in it may run; Docker's default is not.
    pub exec: bool,
}

/// An entry of the project's `volumes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// `name`: used as it stands instead of project and key.
    pub name: Option<HostName>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Where the bytes of a secret or config come from.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSource {
    /// A file outside: absolute, or beginning with `./`.
    File(String),
    /// A variable of the app's environment.
    Environment(String),
    /// Text in the compose file.
    Content(String),
}

impl fmt::Debug for FileSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::File(_) => "File(…)",
            Self::Environment(_) => "Environment(…)",
            Self::Content(_) => "Content(…)",
        })
    }
}

/// A secret or config as one service sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileMount<Name> {
    /// Key of the project's `secrets` or `configs`.
    pub source: Name,
    /// Absolute path inside; default `/run/secrets/NAME` for a secret, `/NAME` for a config.
    pub target: String,
    /// Owner inside; default 0.
    pub uid: u32,
    /// Group inside; default 0.
    pub gid: u32,
    /// Mode inside; default 0444.
    pub mode: FileMode,
}
