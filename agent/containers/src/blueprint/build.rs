//! Service and image to blueprint. Refuses what this runtime has no means for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use compose_file::{
    Capability, DependsWhen, HostAddress, NetworkMode, Project, Protocol, RestartPolicy, RestartWhen,
    Service, Signal,
};
use sha2::{Digest, Sha256};

use super::{Blueprint, Connection, DevicePlan, environment, health, mounts};
use crate::config::RuntimeConfig;
use crate::engine::{Dependency, Need, Restart, RestartWhen as When};
use crate::error::RuntimeError;
use crate::image::Image;
use crate::logs::LogSettings;
use crate::network::cni::PublishedPort;
use crate::network::manager::{JoinWish, Wishes};

/// Docker's size of `/dev/shm`.
const SHM: u64 = 64 * 1024 * 1024;
/// Longest id containerd takes.
const MAX_ID: usize = 76;

/// What blueprints are made from.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a RuntimeConfig,
    pub(crate) project: &'a Project,
    pub(crate) name: &'a str,
    /// Folder of the compose file.
    pub(crate) folder: &'a Path,
    /// Variables secrets and configs may come from.
    pub(crate) environment: &'a BTreeMap<String, String>,
}

/// Blueprints of all containers of one service.
pub(crate) fn build(
    context: &Context<'_>,
    name: &str,
    service: &Service,
    image: &Image,
) -> Result<Vec<Blueprint>, RuntimeError> {
    (1..=service.replicas)
        .map(|index| one(context, name, service, image, index))
        .collect()
}

fn one(
    context: &Context<'_>,
    name: &str,
    service: &Service,
    image: &Image,
    index: u16,
) -> Result<Blueprint, RuntimeError> {
    let id = container_id(context, name, service, index);
    let hostname = service
        .hostname
        .as_ref()
        .map_or_else(|| host_label(&id), ToString::to_string);
    let mut environment =
        environment::resolve(service, &image.environment, context.folder, context.environment)?;
    environment
        .entry("HOSTNAME".to_owned())
        .or_insert_with(|| hostname.clone());
    if service.tty {
        environment
            .entry("TERM".to_owned())
            .or_insert_with(|| "xterm".to_owned());
    }
    let user = service.user.as_ref().map(|user| match &user.group {
        Some(group) => format!("{}:{group}", user.user),
        None => user.user.clone(),
    });
    Ok(Blueprint {
        project: context.name.to_owned(),
        service: name.to_owned(),
        index,
        image: image.clone(),
        args: args(name, service, image)?,
        environment,
        cwd: cwd(service, image),
        user: user.unwrap_or_else(|| image.user.clone()),
        group_add: service.group_add.clone(),
        hostname,
        domainname: service.domainname.as_ref().map(ToString::to_string),
        mounts: mounts::resolve(context, &id, name, service, &image.volumes)?,
        connection: connection(context, name, service, &id)?,
        cap_add: service
            .cap_add
            .iter()
            .map(Capability::as_str)
            .map(str::to_owned)
            .collect(),
        cap_drop: service
            .cap_drop
            .iter()
            .map(Capability::as_str)
            .map(str::to_owned)
            .collect(),
        privileged: service.privileged,
        read_only: service.read_only,
        no_new_privileges: service.no_new_privileges,
        devices: devices(service),
        sysctls: sysctls(service),
        ulimits: service.ulimits.clone(),
        limits: service.limits.clone(),
        shm_size: service.shm_size.map_or(SHM, |size| size.0),
        init: init(context, name, service)?,
        tty: service.tty,
        stdin_open: service.stdin_open,
        annotations: service.annotations.clone(),
        labels: service.labels.clone(),
        extra_hosts: service.extra_hosts.iter().map(extra_host).collect(),
        dns: service.dns.clone(),
        dns_search: service.dns_search.iter().map(ToString::to_string).collect(),
        check: health::check(&service.healthcheck, image.health.as_ref()),
        stop_signal: stop_signal(service, image),
        stop_grace: service.stop_grace_period,
        log_max_size: service
            .logging
            .max_size
            .map_or(LogSettings::DEFAULT_MAX_SIZE, |size| size.0),
        log_max_file: service.logging.max_file.unwrap_or(LogSettings::DEFAULT_MAX_FILE),
        restart: restart(&service.restart),
        restart_delay: service.restart.delay,
        depends: depends(context, service),
        id,
    })
}

fn container_id(context: &Context<'_>, name: &str, service: &Service, index: u16) -> String {
    let wanted = match &service.container_name {
        Some(name) => name.to_string(),
        None => format!("{}-{name}-{index}", context.name),
    };
    let parts_are_plain = wanted.split(['.', '_', '-']).all(|part| !part.is_empty());
    if parts_are_plain && wanted.len() <= MAX_ID {
        return wanted;
    }
    let digest = hex::encode(Sha256::digest(wanted.as_bytes()));
    format!("c{}", digest.get(..24).unwrap_or_default())
}

fn host_label(id: &str) -> String {
    let label: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    label.trim_matches('-').to_owned()
}

fn args(name: &str, service: &Service, image: &Image) -> Result<Vec<String>, RuntimeError> {
    let mut args = match &service.entrypoint {
        Some(entrypoint) => entrypoint.clone(),
        None => image.entrypoint.clone(),
    };
    match (&service.command, &service.entrypoint) {
        (Some(command), _) => args.extend(command.iter().cloned()),
        (None, None) => args.extend(image.command.iter().cloned()),
        (None, Some(_)) => {}
    }
    if args.first().is_none_or(String::is_empty) {
        return Err(RuntimeError::Malformed {
            what: format!("command of service {name}"),
            expected: "a program from the service or its image",
            got: "none".to_owned(),
        });
    }
    Ok(args)
}

fn cwd(service: &Service, image: &Image) -> String {
    let image = Some(&image.working_dir).filter(|path| path.starts_with('/'));
    service
        .working_dir
        .as_ref()
        .or(image)
        .cloned()
        .unwrap_or_else(|| "/".to_owned())
}

fn connection(
    context: &Context<'_>,
    name: &str,
    service: &Service,
    id: &str,
) -> Result<Connection, RuntimeError> {
    Ok(match &service.network_mode {
        NetworkMode::None => Connection::Alone,
        NetworkMode::Host => Connection::Host,
        NetworkMode::Service(other) => {
            let first = context.project.services.get(other);
            Connection::Of(
                first
                    .map(|of| container_id(context, other.as_str(), of, 1))
                    .unwrap_or_default(),
            )
        }
        NetworkMode::Bridges => Connection::Bridges(wishes(context, name, service, id)),
    })
}

fn wishes(context: &Context<'_>, name: &str, service: &Service, id: &str) -> Wishes {
    let mut joins: Vec<JoinWish> = service
        .networks
        .iter()
        .map(|(network, attachment)| {
            let mut names = BTreeSet::from([name.to_owned(), id.to_owned()]);
            names.extend(attachment.aliases.iter().map(ToString::to_string));
            JoinWish {
                network: network.to_string(),
                address: attachment.ipv4,
                names,
            }
        })
        .collect();
    let is_internal = |join: &JoinWish| {
        context
            .project
            .networks
            .get(join.network.as_str())
            .is_some_and(|n| n.internal)
    };
    joins.sort_by_key(is_internal);
    let ports = service.ports.iter().map(|port| PublishedPort {
        host_ip: port.host_ip,
        host: port.host,
        container: port.container,
        udp: port.protocol == Protocol::Udp,
    });
    Wishes {
        joins,
        ports: ports.collect(),
        upstreams: service.dns.clone(),
    }
}

fn devices(service: &Service) -> Vec<DevicePlan> {
    let plan = |device: &compose_file::Device| DevicePlan {
        source: PathBuf::from(&device.source),
        target: device.target.clone(),
        permissions: device.permissions.clone(),
    };
    service.devices.iter().map(plan).collect()
}

/// The service's own, and its domain name: not every runc sets that by itself.
fn sysctls(service: &Service) -> BTreeMap<String, String> {
    let mut all = service.sysctls.clone();
    if let Some(domain) = &service.domainname {
        all.insert("kernel.domainname".to_owned(), domain.to_string());
    }
    all
}

fn init(context: &Context<'_>, name: &str, service: &Service) -> Result<Option<PathBuf>, RuntimeError> {
    match (service.init, &context.config.init) {
        (false, _) => Ok(None),
        (true, Some(program)) => Ok(Some(program.clone())),
        (true, None) => Err(RuntimeError::Unsupported {
            service: name.to_owned(),
            what: "init: true".to_owned(),
            reason: "no init program is installed; put one such as tini into the image".to_owned(),
        }),
    }
}

fn extra_host(host: &compose_file::ExtraHost) -> (String, Option<std::net::IpAddr>) {
    let address = match host.address {
        HostAddress::Ip(ip) => Some(ip),
        HostAddress::Gateway => None,
    };
    (host.name.to_string(), address)
}

fn stop_signal(service: &Service, image: &Image) -> u32 {
    let image = image
        .stop_signal
        .as_ref()
        .and_then(|name| name.parse::<Signal>().ok());
    u32::from(service.stop_signal.or(image).unwrap_or(Signal::TERM).number())
}

fn restart(policy: &RestartPolicy) -> Restart {
    let when = match policy.when {
        RestartWhen::Never => When::Never,
        RestartWhen::OnFailure => When::OnFailure,
        // Only the project as a whole is stopped here, and then nothing is started again.
        RestartWhen::Always | RestartWhen::UnlessStopped => When::Always,
    };
    Restart {
        when,
        most: policy.max_attempts,
    }
}

fn depends(context: &Context<'_>, service: &Service) -> Vec<Dependency> {
    let mut all = Vec::new();
    let no_profiles = BTreeSet::new();
    let enabled: BTreeSet<_> = context.project.enabled(&no_profiles).collect();
    // A service of a profile that is off is never there to wait for; the parser lets only optional edges lead to one.
    let edges = service
        .depends_on
        .iter()
        .filter(|(other, _)| enabled.contains(other));
    for (other, edge) in edges {
        let Some(of) = context.project.services.get(other) else {
            continue;
        };
        let need = match edge.when {
            DependsWhen::Started => Need::Started,
            DependsWhen::Healthy => Need::Healthy,
            DependsWhen::Completed => Need::Completed,
        };
        all.extend((1..=of.replicas).map(|index| Dependency {
            on: container_id(context, other.as_str(), of, index),
            need,
            required: edge.required,
            restart: edge.restart,
        }));
    }
    all
}
