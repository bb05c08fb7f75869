//! `volumes`, `tmpfs`, `secrets` and `configs` of a service, short and long. Refuses relative targets, `..`, `~`, a target twice, and
//! names the file does not declare.

use super::{cursor::Cursor, fields::Fields, project::Declared};
use crate::{
    error::ProblemKind,
    keys,
    model::{FileMount, Mount, MountSource, Tmpfs},
    names::NameError,
    units::{ByteSize, FileMode},
};
use std::{collections::BTreeSet, str::FromStr};

const SHORT: &str = "[source:]/target[:ro|rw|nocopy]";
const HOST_PATH: &str = "an absolute path, or one below the project's folder such as ./data, without .. or ~";
const TARGET: &str = "an absolute path inside the container, without . or ..";

/// `path` with no `.`, `..`, empty parts; a slash at the end is dropped.
pub(crate) fn normal(path: &str) -> Option<String> {
    let inner = path.strip_suffix('/').unwrap_or(path);
    let parts = inner.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (parts && path.len() <= 4096 && !path.contains('\0')).then(|| inner.to_owned())
}

fn container_path(path: &str) -> Option<String> {
    normal(path.strip_prefix('/')?).map(|path| format!("/{path}"))
}

fn relative_or_absolute(path: &str) -> Option<String> {
    match path {
        "/" => Some("/".to_owned()),
        "." | "./" => Some(".".to_owned()),
        path if path.starts_with('/') => container_path(path),
        path if path.starts_with('~') => None,
        path => normal(path.strip_prefix("./").unwrap_or(path)).map(|path| format!("./{path}")),
    }
}

/// A path outside the container.
pub(crate) fn host_path(cursor: &Cursor<'_>) -> Option<String> {
    let path = cursor.words(HOST_PATH)?;
    let path = relative_or_absolute(&path).filter(|path| path != ".");
    if path.is_none() {
        cursor.wrong(HOST_PATH, "");
    }
    path
}

/// A path inside the container.
pub(crate) fn target(cursor: &Cursor<'_>) -> Option<String> {
    let path = container_path(&cursor.words(TARGET)?);
    if path.is_none() {
        cursor.wrong(TARGET, "");
    }
    path
}

pub(crate) fn mounts(cursor: &Cursor<'_>, declared: &Declared) -> Option<Vec<(Mount, String)>> {
    let mut mounts = Vec::new();
    for item in cursor.list()? {
        let mount = if item.is_map() { long(&item) } else { short(&item) };
        let Some(mount) = mount else { continue };
        if let MountSource::Volume { name: Some(name), .. } = &mount.source
            && !declared.volumes.contains(name)
        {
            item.clash(
                "a volume declared under the top-level `volumes`",
                "declare it there; a folder begins with ./",
            );
        }
        mounts.push((mount, item.path));
    }
    Some(mounts)
}

fn short(cursor: &Cursor<'_>) -> Option<Mount> {
    let text = cursor.words(SHORT)?;
    let mut parts = text.split(':');
    let (source, path, options) = match (parts.next()?, parts.next(), parts.next(), parts.next()) {
        (target, None, None, None) => (None, target, ""),
        (source, Some(target), options, None) => (Some(source), target, options.unwrap_or("rw")),
        _ => {
            cursor.wrong(SHORT, "");
            return None;
        }
    };
    let Some(target) = container_path(path) else {
        cursor.wrong(SHORT, "the target is an absolute path without . or ..");
        return None;
    };
    let (mut read_only, mut no_copy) = (false, false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "nocopy" => no_copy = true,
            // Labels for SELinux, which a guest does not have.
            "rw" | "z" | "Z" => {}
            _ => cursor.wrong("the options ro, rw, nocopy, z, Z", "remove the others"),
        }
    }
    let is_path = |source: &str| source.starts_with(['.', '/', '~']);
    let source = match source {
        Some(source) if is_path(source) => {
            let Some(path) = relative_or_absolute(source) else {
                cursor.wrong(HOST_PATH, "");
                return None;
            };
            MountSource::Bind {
                path,
                create: true,
                recursive: true,
            }
        }
        Some(name) => match name.parse() {
            Ok(name) => MountSource::Volume {
                name: Some(name),
                no_copy,
                subpath: None,
            },
            Err(NameError { expected, .. }) => {
                cursor.wrong(expected, "a path begins with ./ or /");
                return None;
            }
        },
        None => MountSource::Volume {
            name: None,
            no_copy,
            subpath: None,
        },
    };
    Some(Mount {
        source,
        target,
        read_only,
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Bind,
    Volume,
    Tmpfs,
}

fn long(cursor: &Cursor<'_>) -> Option<Mount> {
    let fields = Fields::open(cursor.clone(), keys::MOUNT)?;
    let types = [
        ("bind", Type::Bind),
        ("volume", Type::Volume),
        ("tmpfs", Type::Tmpfs),
    ];
    let kind = fields
        .require("type", "write `type: volume`, `bind` or `tmpfs`")
        .and_then(|kind| kind.choice(&types));
    let path = fields.require("target", "").and_then(|path| target(&path));
    let read_only = fields.flag("read_only").unwrap_or(false);
    for (key, kind_of_key) in [
        ("bind", Type::Bind),
        ("volume", Type::Volume),
        ("tmpfs", Type::Tmpfs),
    ] {
        if kind.is_some_and(|kind| kind != kind_of_key)
            && let Some(other) = fields.take(key)
        {
            other.clash("options of the mount's own type", "remove them or change `type`");
        }
    }
    let source = match kind {
        Some(Type::Bind) => bind(&fields),
        Some(Type::Volume) => volume(&fields),
        Some(Type::Tmpfs) => tmpfs(&fields),
        None => {
            for key in ["source", "bind", "volume", "tmpfs"] {
                fields.take(key);
            }
            None
        }
    };
    fields.finish();
    Some(Mount {
        source: source?,
        target: path?,
        read_only,
    })
}

fn bind(fields: &Fields<'_>) -> Option<MountSource> {
    let expected = HOST_PATH;
    let path = fields.require("source", "").and_then(|source| {
        let path = relative_or_absolute(&source.words(expected)?);
        if path.is_none() {
            source.wrong(expected, "");
        }
        path
    });
    let (mut create, mut recursive) = (false, true);
    if let Some(options) = fields
        .take("bind")
        .and_then(|o| Fields::open(o, keys::MOUNT_BIND))
    {
        create = options.flag("create_host_path").unwrap_or(create);
        let choices = [("enabled", true), ("disabled", false)];
        if let Some(choice) = options.take("recursive").and_then(|r| r.choice(&choices)) {
            recursive = choice;
        }
        options.finish();
    }
    Some(MountSource::Bind {
        path: path?,
        create,
        recursive,
    })
}

fn volume(fields: &Fields<'_>) -> Option<MountSource> {
    let name = match fields.take("source") {
        Some(source) => Some(source.parse()?),
        None => None,
    };
    let (mut no_copy, mut subpath) = (false, None);
    if let Some(options) = fields
        .take("volume")
        .and_then(|o| Fields::open(o, keys::MOUNT_VOLUME))
    {
        no_copy = options.flag("nocopy").unwrap_or(false);
        subpath = options.take("subpath").and_then(|path| {
            let expected = "a folder inside the volume: relative, without . or ..";
            let normal = normal(&path.words(expected)?);
            if normal.is_none() {
                path.wrong(expected, "");
            }
            normal
        });
        options.finish();
    }
    Some(MountSource::Volume {
        name,
        no_copy,
        subpath,
    })
}

fn tmpfs(fields: &Fields<'_>) -> Option<MountSource> {
    if let Some(source) = fields.take("source") {
        source.clash("no source for a tmpfs", "remove it");
    }
    let mut tmpfs = Tmpfs::default();
    if let Some(options) = fields
        .take("tmpfs")
        .and_then(|o| Fields::open(o, keys::MOUNT_TMPFS))
    {
        tmpfs.size = options.take("size").and_then(|size| size.parse());
        tmpfs.mode = options.take("mode").and_then(|mode| mode.parse());
        options.finish();
    }
    Some(MountSource::Tmpfs(tmpfs))
}

/// The key `tmpfs`: `/path[:options]`, one or a list.
pub(crate) fn tmpfs_paths(cursor: &Cursor<'_>) -> Option<Vec<(Mount, String)>> {
    let items = cursor.list_or_text()?;
    let read = |item: &Cursor<'_>| Some((tmpfs_path(item)?, item.path.clone()));
    Some(items.iter().filter_map(read).collect())
}

fn tmpfs_path(cursor: &Cursor<'_>) -> Option<Mount> {
    let expected = "/path[:size=64m,mode=1777,uid=0,gid=0,ro,exec,noexec,nosuid,nodev]";
    let text = cursor.words(expected)?;
    let (path, options) = text.split_once(':').unwrap_or((&text, ""));
    let mut tmpfs = Tmpfs::default();
    let mut read_only = false;
    let mut sound = true;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let id = || value.parse::<u32>().ok();
        match name {
            "size" => tmpfs.size = value.parse::<ByteSize>().ok(),
            "mode" => tmpfs.mode = FileMode::octal(value),
            "uid" => tmpfs.uid = id(),
            "gid" => tmpfs.gid = id(),
            "ro" => read_only = true,
            "rw" => read_only = false,
            "exec" => tmpfs.exec = true,
            "noexec" => tmpfs.exec = false,
            // Always so.
            "nosuid" | "nodev" => {}
            _ => sound = false,
        }
        sound &= match name {
            "size" => tmpfs.size.is_some(),
            "mode" => tmpfs.mode.is_some(),
            "uid" => tmpfs.uid.is_some(),
            "gid" => tmpfs.gid.is_some(),
            _ => value.is_empty(),
        };
    }
    let target = container_path(path).filter(|_| sound);
    if target.is_none() {
        cursor.wrong(expected, "");
    }
    Some(Mount {
        source: MountSource::Tmpfs(tmpfs),
        target: target?,
        read_only,
    })
}

/// `secrets` or `configs` of a service; `folder` is where a plain name goes.
pub(crate) fn file_mounts<Name>(
    cursor: &Cursor<'_>,
    declared: &BTreeSet<Name>,
    (what, folder): (&str, &str),
) -> Option<Vec<(FileMount<Name>, String)>>
where
    Name: FromStr<Err = NameError> + Ord + AsRef<str>,
{
    let mut mounts = Vec::new();
    for item in cursor.list()? {
        let Some(mount) = file_mount::<Name>(&item, folder) else {
            continue;
        };
        if !declared.contains(&mount.source) {
            let expected = format!("a name declared under the top-level `{what}`");
            item.clash(&expected, "declare it there");
        }
        mounts.push((mount, item.path));
    }
    Some(mounts)
}

fn file_mount<Name>(cursor: &Cursor<'_>, folder: &str) -> Option<FileMount<Name>>
where
    Name: FromStr<Err = NameError> + AsRef<str>,
{
    let at = |source: &Name| format!("{folder}{}", source.as_ref());
    if !cursor.is_map() {
        let source: Name = cursor.parse()?;
        return Some(FileMount {
            target: at(&source),
            source,
            uid: 0,
            gid: 0,
            mode: FileMode(0o444),
        });
    }
    let fields = Fields::open(cursor.clone(), keys::FILE_MOUNT)?;
    let source: Option<Name> = fields.require("source", "").and_then(|source| source.parse());
    let target = match fields.take("target") {
        None => source.as_ref().map(at),
        Some(cursor) => cursor.words(TARGET).and_then(|text| {
            let path = match text.starts_with('/') {
                true => container_path(&text),
                false => normal(&text).map(|path| format!("{folder}{path}")),
            };
            if path.is_none() {
                cursor.report(ProblemKind::Value, TARGET, cursor.shown(), "");
            }
            path
        }),
    };
    let id = |key| {
        let id = fields.take(key).and_then(|id| id.number(0..=u32::MAX - 1));
        id.unwrap_or(0)
    };
    let (uid, gid) = (id("uid"), id("gid"));
    let mode = fields.take("mode").and_then(|mode| mode.parse());
    fields.finish();
    Some(FileMount {
        source: source?,
        target: target?,
        uid,
        gid,
        mode: mode.unwrap_or(FileMode(0o444)),
    })
}
