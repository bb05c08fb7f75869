//! What is mounted into a container: volumes, host paths and their aliases, memory, secrets and configs. Refuses a bind
//! source that leads out of the project's folder by a relative path, and a secret whose bytes are not there.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use compose_file::{FileMount, FileSource, MountSource, Service, Tmpfs};

use super::build::Context;
use super::{MountPlan, SecretContent};
use crate::error::RuntimeError;
use crate::files;

/// Largest secret or config; Docker's bound for a config is the same.
const MAX_FILE: u64 = 1000 * 1024;

pub(super) fn resolve(
    context: &Context<'_>,
    id: &str,
    name: &str,
    service: &Service,
    image_volumes: &[String],
) -> Result<Vec<MountPlan>, RuntimeError> {
    let mut plans = Vec::new();
    for mount in &service.mounts {
        let (target, read_only) = (mount.target.clone(), mount.read_only);
        plans.push(match &mount.source {
            MountSource::Bind {
                path,
                create,
                recursive,
            } => MountPlan::Bind {
                source: source(context, path),
                project: (!is_absolute(context, path)).then(|| context.folder.to_owned()),
                target,
                read_only,
                recursive: *recursive,
                create: *create,
            },
            MountSource::Volume {
                name,
                no_copy,
                subpath,
            } => MountPlan::Volume {
                folder: match name {
                    Some(name) => volume(context, name.as_str()),
                    None => own_volume(context, id, &mount.target),
                },
                subpath: subpath.clone(),
                target,
                read_only,
                copy: !no_copy,
            },
            MountSource::Tmpfs(tmpfs) => MountPlan::Tmpfs {
                target,
                read_only,
                options: tmpfs_options(tmpfs),
            },
        });
    }
    for target in image_volumes {
        // G14: the name of the folder comes from it.
        let inside = Path::new(target).strip_prefix("/").unwrap_or(Path::new(".."));
        if inside.as_os_str().is_empty()
            || !inside
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(RuntimeError::Malformed {
                what: format!("volume of the image of service {name}"),
                expected: "an absolute path without ..",
                got: format!("{target:?}"),
            });
        }
        let taken = service
            .mounts
            .iter()
            .any(|mount| mount.target.trim_end_matches('/') == target.trim_end_matches('/'));
        if !taken {
            let (folder, target) = (own_volume(context, id, target), target.clone());
            plans.push(MountPlan::Volume {
                folder,
                subpath: None,
                target,
                read_only: false,
                copy: true,
            });
        }
    }
    for (index, one) in service.secrets.iter().enumerate() {
        plans.push(file(
            context,
            name,
            ("secret", index),
            one,
            context.project.secrets.get(&one.source),
            one.source.as_str(),
        )?);
    }
    for (index, one) in service.configs.iter().enumerate() {
        plans.push(file(
            context,
            name,
            ("config", index),
            one,
            context.project.configs.get(&one.source),
            one.source.as_str(),
        )?);
    }
    Ok(plans)
}

fn source(context: &Context<'_>, path: &str) -> PathBuf {
    let alias = context.config.path_aliases.get(Path::new(path));
    alias
        .cloned()
        .unwrap_or_else(|| PathBuf::from(path.strip_prefix("./").unwrap_or(path)))
}

fn is_absolute(context: &Context<'_>, path: &str) -> bool {
    path.starts_with('/') || context.config.path_aliases.contains_key(Path::new(path))
}

fn volume(context: &Context<'_>, name: &str) -> PathBuf {
    let of_project = context
        .project
        .volumes
        .get(name)
        .and_then(|volume| volume.name.as_ref());
    let folder = of_project.map_or(name, |name| name.as_str());
    context.config.data.join("volumes").join(folder)
}

/// A volume nobody named: kept while the container's id and the path stay.
fn own_volume(context: &Context<'_>, id: &str, target: &str) -> PathBuf {
    let name = target.trim_matches('/').replace('%', "%25").replace('/', "%2F");
    context
        .config
        .data
        .join("volumes")
        .join(format!(".{id}"))
        .join(name)
}

fn tmpfs_options(tmpfs: &Tmpfs) -> Vec<String> {
    let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
    options.push(if tmpfs.exec { "exec" } else { "noexec" }.to_owned());
    options.push(format!("mode={:o}", tmpfs.mode.map_or(0o1777, |mode| mode.0)));
    options.extend(tmpfs.size.map(|size| format!("size={}", size.0)));
    options.extend(tmpfs.uid.map(|uid| format!("uid={uid}")));
    options.extend(tmpfs.gid.map(|gid| format!("gid={gid}")));
    options
}

fn file<Name>(
    context: &Context<'_>,
    service: &str,
    (kind, index): (&str, usize),
    mount: &FileMount<Name>,
    source: Option<&FileSource>,
    name: &str,
) -> Result<MountPlan, RuntimeError> {
    let missing = |got: String| RuntimeError::Malformed {
        what: format!("{kind} {name} of service {service}"),
        expected: "a source whose bytes are there",
        got,
    };
    let content = match source {
        Some(FileSource::Content(text)) => text.clone().into_bytes(),
        Some(FileSource::Environment(variable)) => variable_of(context.environment, variable)
            .ok_or_else(|| missing(format!("variable {variable}, which is not set")))?,
        Some(FileSource::File(path)) => {
            let inside = Path::new(path.strip_prefix("./").unwrap_or(path));
            files::read_of_project(context.folder, inside, MAX_FILE)
                .map_err(RuntimeError::io(inside, "reading a secret or config"))?
        }
        None => return Err(missing("nothing of that name".to_owned())),
    };
    Ok(MountPlan::File {
        // One source may stand at several targets, each with an owner of its own.
        name: format!("{kind}-{name}-{index}"),
        target: mount.target.clone(),
        content: SecretContent(content),
        uid: mount.uid,
        gid: mount.gid,
        mode: mount.mode.0,
    })
}

fn variable_of(environment: &BTreeMap<String, String>, name: &str) -> Option<Vec<u8>> {
    environment.get(name).map(|value| value.clone().into_bytes())
}
