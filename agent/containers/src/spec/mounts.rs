//! Mounts and devices of a container.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, Mount,
    MountBuilder,
};

use super::process::INIT;
use super::{Site, SiteFile};
use crate::blueprint::{Blueprint, MountPlan};
use crate::error::RuntimeError;

/// Devices of a container: nodes to make, and rules of what may be opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Devices {
    pub(super) nodes: Vec<LinuxDevice>,
    pub(super) rules: Vec<LinuxDeviceCgroup>,
}

/// Character devices every container may open: null, zero, full, random, urandom, tty, console, ptmx, pts.
const ALWAYS: [(i64, Option<i64>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

pub(super) fn mounts(blueprint: &Blueprint, site: &Site) -> Result<Vec<Mount>, OciSpecError> {
    let mut all = kernel_mounts(blueprint)?;
    if let Some(program) = &blueprint.init {
        let file = SiteFile {
            source: program.clone(),
            target: INIT.to_owned(),
            read_only: true,
        };
        all.push(file_mount(&file)?);
    }
    for file in &site.files {
        all.push(file_mount(file)?);
    }
    for plan in &blueprint.mounts {
        all.extend(planned(plan, site)?);
    }
    // A mount over a parent would hide one below it that came first.
    let fixed = kernel_mounts(blueprint)?.len();
    if let Some(later) = all.get_mut(fixed..) {
        later.sort_by_key(|mount| mount.destination().components().count());
    }
    Ok(all)
}

fn kernel_mounts(blueprint: &Blueprint) -> Result<Vec<Mount>, OciSpecError> {
    let sys = if blueprint.privileged { "rw" } else { "ro" };
    let shm = format!("size={}", blueprint.shm_size);
    let safe = ["nosuid", "noexec", "nodev"];
    let list: [(&str, &str, &str, Vec<&str>); 7] = [
        ("/proc", "proc", "proc", safe.to_vec()),
        (
            "/dev",
            "tmpfs",
            "tmpfs",
            vec!["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            vec![
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        (
            "/dev/shm",
            "tmpfs",
            "shm",
            vec!["nosuid", "noexec", "nodev", "mode=1777", &shm],
        ),
        ("/dev/mqueue", "mqueue", "mqueue", safe.to_vec()),
        ("/sys", "sysfs", "sysfs", [&safe[..], &[sys]].concat()),
        (
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            [&safe[..], &["relatime", sys]].concat(),
        ),
    ];
    list.iter()
        .map(|(target, kind, source, options)| mount(target, kind, Path::new(source), options))
        .collect()
}

fn planned(plan: &MountPlan, site: &Site) -> Result<Option<Mount>, OciSpecError> {
    let access = |read_only: bool| if read_only { "ro" } else { "rw" };
    match plan {
        MountPlan::Bind {
            target,
            read_only,
            recursive,
            ..
        } => {
            let bind = if *recursive { "rbind" } else { "bind" };
            held(site, target, bind, access(*read_only))
        }
        MountPlan::Volume {
            target, read_only, ..
        } => held(site, target, "rbind", access(*read_only)),
        MountPlan::Tmpfs {
            target,
            read_only,
            options,
        } => {
            let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
            options.push(access(*read_only));
            mount(target, "tmpfs", Path::new("tmpfs"), &options).map(Some)
        }
        // It is among the site's files, where its bytes are.
        MountPlan::File { .. } => Ok(None),
    }
}

fn held(site: &Site, target: &str, bind: &str, access: &str) -> Result<Option<Mount>, OciSpecError> {
    let source = site.sources.get(target);
    source
        .map(|source| mount(target, "bind", source.path(), &[bind, "rprivate", access]))
        .transpose()
}

fn file_mount(file: &SiteFile) -> Result<Mount, OciSpecError> {
    let access = if file.read_only { "ro" } else { "rw" };
    mount(&file.target, "bind", &file.source, &["bind", "rprivate", access])
}

fn mount(target: &str, kind: &str, source: &Path, options: &[&str]) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(source)
        .options(options)
        .build()
}

/// Looks devices up on the host. One that is not there is refused.
pub(super) fn devices(blueprint: &Blueprint) -> Result<Devices, RuntimeError> {
    let mut devices = Devices::default();
    if blueprint.privileged {
        devices
            .rules
            .push(rule(true, None, None, None, "rwm").map_err(|error| malformed(blueprint, error))?);
        return find_devices(blueprint, devices);
    }
    devices
        .rules
        .push(rule(false, None, None, None, "rwm").map_err(|error| malformed(blueprint, error))?);
    for (major, minor) in ALWAYS {
        let rule = rule(true, Some(LinuxDeviceType::C), Some(major), minor, "rwm");
        devices
            .rules
            .push(rule.map_err(|error| malformed(blueprint, error))?);
    }
    find_devices(blueprint, devices)
}

fn find_devices(blueprint: &Blueprint, mut devices: Devices) -> Result<Devices, RuntimeError> {
    for plan in &blueprint.devices {
        let metadata =
            std::fs::metadata(&plan.source).map_err(RuntimeError::io(&plan.source, "looking up a device"))?;
        let kind = match (
            metadata.file_type().is_char_device(),
            metadata.file_type().is_block_device(),
        ) {
            (true, _) => LinuxDeviceType::C,
            (_, true) => LinuxDeviceType::B,
            _ => {
                return Err(RuntimeError::Malformed {
                    what: format!("device of service {}", blueprint.service),
                    expected: "a character or block device",
                    got: plan.source.display().to_string(),
                });
            }
        };
        let number = metadata.rdev();
        let (major, minor) = (
            i64::from(rustix::fs::major(number)),
            i64::from(rustix::fs::minor(number)),
        );
        let node = LinuxDeviceBuilder::default()
            .path(plan.target.as_str())
            .typ(kind)
            .major(major)
            .minor(minor)
            .file_mode(metadata.mode() & 0o7777)
            .uid(metadata.uid())
            .gid(metadata.gid())
            .build();
        devices
            .nodes
            .push(node.map_err(|error| malformed(blueprint, error))?);
        let rule = rule(true, Some(kind), Some(major), Some(minor), &plan.permissions);
        devices
            .rules
            .push(rule.map_err(|error| malformed(blueprint, error))?);
    }
    Ok(devices)
}

fn rule(
    allow: bool,
    kind: Option<LinuxDeviceType>,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> Result<LinuxDeviceCgroup, OciSpecError> {
    let mut rule = LinuxDeviceCgroupBuilder::default().allow(allow).access(access);
    if let Some(kind) = kind {
        rule = rule.typ(kind);
    }
    if let Some(major) = major {
        rule = rule.major(major);
    }
    if let Some(minor) = minor {
        rule = rule.minor(minor);
    }
    rule.build()
}

fn malformed(blueprint: &Blueprint, error: OciSpecError) -> RuntimeError {
    RuntimeError::Malformed {
        what: format!("devices of service {}", blueprint.service),
        expected: "values the OCI runtime spec allows",
        got: error.to_string(),
    }
}
