//! A blueprint as an OCI runtime spec, with Docker's defaults: namespaces, mounts, capabilities, filter, limits. Resource
//! limits are written once; the runtime translates them for the host's kind of cgroups.

pub(crate) mod capabilities;
mod limits;
mod mounts;
mod process;
mod seccomp;
pub(crate) mod user;

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, RootBuilder, Spec,
    SpecBuilder,
};

use crate::beneath::Held;
use crate::blueprint::{Blueprint, Connection};
use crate::error::RuntimeError;
use user::ResolvedUser;

pub(crate) use process::check_process;

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What a spec needs that only exists at the time of the start.
#[derive(Debug, Default)]
pub(crate) struct Site {
    /// Namespace in containerd, part of the cgroup's path.
    pub(crate) namespace: String,
    pub(crate) user: ResolvedUser,
    /// Files made for this container, by target.
    pub(crate) files: Vec<SiteFile>,
    /// What volumes and paths are mounted from, by target; held until the container is made.
    pub(crate) sources: BTreeMap<String, Held>,
    /// Process whose network this container lives in.
    pub(crate) network_of: Option<u32>,
}

/// A file of the host a container sees.
#[derive(Clone, Debug)]
pub(crate) struct SiteFile {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// Where a container's cgroup is, below each controller.
pub(crate) fn cgroup_path(namespace: &str, id: &str) -> String {
    format!("/kedge/{namespace}/{id}")
}

/// The spec as JSON.
pub(crate) fn build(blueprint: &Blueprint, site: &Site) -> Result<Vec<u8>, RuntimeError> {
    let devices = mounts::devices(blueprint)?;
    let spec = assemble(blueprint, site, devices).map_err(|error| RuntimeError::Malformed {
        what: format!("spec of container {}", blueprint.id),
        expected: "values the OCI runtime spec allows",
        got: error.to_string(),
    })?;
    serde_json::to_vec(&spec).map_err(|error| RuntimeError::Malformed {
        what: format!("spec of container {}", blueprint.id),
        expected: "a spec that is JSON",
        got: error.to_string(),
    })
}

fn assemble(blueprint: &Blueprint, site: &Site, devices: mounts::Devices) -> Result<Spec, OciSpecError> {
    let root = RootBuilder::default()
        .path("rootfs")
        .readonly(blueprint.read_only)
        .build()?;
    let mut spec = SpecBuilder::default()
        .version("1.0.2")
        .root(root)
        .process(process::main_process(blueprint, &site.user)?)
        .mounts(mounts::mounts(blueprint, site)?)
        .linux(linux(blueprint, site, devices)?);
    if let Some(domain) = &blueprint.domainname {
        spec = spec.domainname(domain.as_str());
    }
    if !blueprint.annotations.is_empty() {
        spec = spec.annotations(
            blueprint
                .annotations
                .clone()
                .into_iter()
                .collect::<std::collections::HashMap<_, _>>(),
        );
    }
    let mut spec = spec.build()?;
    // The library's default is a name of its own.
    spec.set_hostname(match blueprint.connection {
        Connection::Host => None,
        _ => Some(blueprint.hostname.clone()),
    });
    Ok(spec)
}

fn linux(blueprint: &Blueprint, site: &Site, devices: mounts::Devices) -> Result<Linux, OciSpecError> {
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(blueprint, site)?)
        .cgroups_path(cgroup_path(&site.namespace, &blueprint.id))
        .resources(limits::resources(blueprint, devices.rules)?)
        .devices(devices.nodes)
        .sysctl(sysctls(blueprint));
    if !blueprint.privileged {
        let strings = |list: &[&str]| list.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        linux = linux
            .masked_paths(strings(&MASKED))
            .readonly_paths(strings(&READ_ONLY))
            .seccomp(seccomp::profile(&process::capabilities(blueprint))?);
    }
    let mut linux = linux.build()?;
    if blueprint.privileged {
        // The library's defaults mask paths where none are given.
        linux.set_masked_paths(None).set_readonly_paths(None);
    }
    Ok(linux)
}

fn sysctls(blueprint: &Blueprint) -> std::collections::HashMap<String, String> {
    let mut all: std::collections::HashMap<String, String> = blueprint.sysctls.clone().into_iter().collect();
    if matches!(blueprint.connection, Connection::Bridges(_) | Connection::Alone) {
        // As Docker: a service that is not root may listen on port 80 of its own network.
        all.entry("net.ipv4.ip_unprivileged_port_start".to_owned())
            .or_insert_with(|| "0".to_owned());
        all.entry("net.ipv4.ping_group_range".to_owned())
            .or_insert_with(|| "0 2147483647".to_owned());
    }
    all
}

fn namespaces(blueprint: &Blueprint, site: &Site) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let kinds = [
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Cgroup,
    ];
    let mut all = Vec::new();
    for kind in kinds {
        // Without a namespace of its own the container keeps the host's name.
        if kind == LinuxNamespaceType::Uts && matches!(blueprint.connection, Connection::Host) {
            continue;
        }
        all.push(LinuxNamespaceBuilder::default().typ(kind).build()?);
    }
    let network = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network);
    match (&blueprint.connection, site.network_of) {
        (Connection::Host, _) => {}
        (Connection::Of(_), Some(pid)) => all.push(network.path(format!("/proc/{pid}/ns/net")).build()?),
        _ => all.push(network.build()?),
    }
    Ok(all)
}
