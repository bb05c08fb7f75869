//! What only the whole file shows: dependency cycles, ports and names in each other's way, waiting for what cannot happen.

use super::{cursor::Cursor, fields::Fields};
use crate::{
    error::ProblemKind,
    model::{DependsWhen, HealthPolicy, NetworkMode, PortMapping, Project, RestartWhen, Service, Volume},
    names::{NetworkName, ServiceName, VolumeName},
};
use std::collections::{BTreeMap, BTreeSet};

/// Containers of one file.
pub const MAX_CONTAINERS: usize = 128;

/// Where the things of a service stand that others may clash with.
pub(crate) struct Place<'r> {
    service: Cursor<'r>,
    dependencies: BTreeMap<ServiceName, Cursor<'r>>,
    pub(crate) networks: Vec<(NetworkName, Cursor<'r>)>,
    pub(crate) has_networks: Option<Cursor<'r>>,
    pub(crate) network_mode: Option<Cursor<'r>>,
    pub(crate) ports: Vec<(PortMapping, Cursor<'r>)>,
}

impl<'r> Place<'r> {
    pub(crate) fn new(fields: &Fields<'r>) -> Self {
        Self {
            service: fields.cursor.clone(),
            dependencies: BTreeMap::new(),
            networks: Vec::new(),
            has_networks: None,
            network_mode: None,
            ports: Vec::new(),
        }
    }

    pub(crate) fn dependency(&mut self, name: &ServiceName, at: &Cursor<'r>) {
        self.dependencies.insert(name.clone(), at.clone());
    }
}

type Places<'r> = [(ServiceName, Place<'r>)];

pub(crate) fn services(project: &Project, places: &Places<'_>) {
    for (name, place) in places {
        let Some(service) = project.services.get(name) else {
            continue;
        };
        network_mode(service, place);
        replicas(service, place);
        waits(project, service, place);
    }
    cycles(project, places);
    ports(project, places);
    unique(project, places);
    addresses(project, places);
}

fn reference(at: &Cursor<'_>, expected: &str, actual: String, advice: &str) {
    at.report(ProblemKind::Reference, expected, actual, advice);
}

fn network_mode(service: &Service, place: &Place<'_>) {
    let Some(mode) = &place.network_mode else { return };
    if let Some(networks) = &place.has_networks {
        networks.clash("no `networks` beside `network_mode`", "remove one of the two");
    }
    if let Some((_, port)) = place.ports.first() {
        let advice = match service.network_mode {
            NetworkMode::Service(_) => "publish them on the service whose network it is",
            _ => "remove them or `network_mode`",
        };
        port.clash("no published ports beside `network_mode`", advice);
    }
    if matches!(service.network_mode, NetworkMode::Service(_)) && service.hostname.is_some() {
        mode.clash("no `hostname` in another service's network", "remove `hostname`");
    }
}

fn replicas(service: &Service, place: &Place<'_>) {
    if service.replicas <= 1 {
        return;
    }
    let several = format!("{} of one", service.replicas);
    let fixed = service.networks.values().any(|network| network.ipv4.is_some());
    for (stands, what) in [
        (service.container_name.is_some(), "container_name"),
        (!service.ports.is_empty(), "ports"),
        (fixed, "ipv4_address"),
    ] {
        if stands {
            let expected = format!("one container with `{what}`");
            reference(
                &place.service,
                &expected,
                several.clone(),
                "remove it or the replicas",
            );
        }
    }
}

fn waits(project: &Project, service: &Service, place: &Place<'_>) {
    for (name, on) in &service.depends_on {
        let (Some(other), Some(at)) = (project.services.get(name), place.dependencies.get(name)) else {
            continue;
        };
        if on.when == DependsWhen::Healthy && other.healthcheck == HealthPolicy::Disabled {
            let actual = format!("`{name}` with its health check disabled");
            reference(
                at,
                "a service that can become healthy",
                actual,
                "give it a `healthcheck`",
            );
        }
        let again = matches!(
            other.restart.when,
            RestartWhen::Always | RestartWhen::UnlessStopped
        );
        if on.when == DependsWhen::Completed && again {
            let actual = format!("`{name}`, which starts again each time");
            reference(
                at,
                "a service that can complete",
                actual,
                "write `restart: on-failure` or leave it out there",
            );
        }
        let always_beside = other.profiles.is_empty()
            || !service.profiles.is_empty() && service.profiles.iter().all(|p| other.profiles.contains(p));
        if on.required && !always_beside {
            let actual = format!("`{name}`, which runs only in its profiles");
            reference(
                at,
                "a service that runs whenever this one does",
                actual,
                "write `required: false` or give both the same profiles",
            );
        }
        if matches!(&service.network_mode, NetworkMode::Service(owner) if owner == name)
            && (matches!(other.network_mode, NetworkMode::Service(_)) || other.replicas != 1)
        {
            let actual = format!("`{name}`");
            reference(
                at,
                "a service of one container with a network of its own",
                actual,
                "",
            );
        }
    }
}

/// Reports one cycle, with its services in order.
fn cycles(project: &Project, places: &Places<'_>) {
    let mut settled: BTreeSet<&ServiceName> = BTreeSet::new();
    for start in project.services.keys() {
        let mut trail: Vec<&ServiceName> = vec![start];
        // Depth first; a service is settled once nothing below it leads back.
        while let Some(last) = trail.last().copied() {
            let next = project.services.get(last).and_then(|service| {
                let mut names = service.depends_on.keys();
                names.find(|name| project.services.contains_key(*name) && !settled.contains(name))
            });
            let Some(next) = next else {
                settled.insert(last);
                trail.pop();
                continue;
            };
            let Some(from) = trail.iter().position(|name| *name == next) else {
                trail.push(next);
                continue;
            };
            let mut names: Vec<&str> = trail.iter().skip(from).map(|name| name.as_str()).collect();
            names.push(next.as_str());
            if let Some((_, place)) = places.iter().find(|(name, _)| name == last) {
                let at = place.dependencies.get(next).unwrap_or(&place.service);
                reference(
                    at,
                    "dependencies without a cycle",
                    names.join(" → "),
                    "remove one of them",
                );
            }
            return;
        }
    }
}

fn together(a: &Service, b: &Service) -> bool {
    a.profiles.is_empty() || b.profiles.is_empty() || a.profiles.iter().any(|p| b.profiles.contains(p))
}

fn ports(project: &Project, places: &Places<'_>) {
    let mut taken: BTreeMap<_, Vec<(PortMapping, &ServiceName, &Service)>> = BTreeMap::new();
    for (name, place) in places {
        let Some(service) = project.services.get(name) else {
            continue;
        };
        for (port, at) in &place.ports {
            let others = taken.entry((port.protocol, port.host)).or_default();
            let any = |port: &PortMapping| port.host_ip.is_none_or(|ip| ip.is_unspecified());
            let clash = others.iter().find(|(other, _, owner)| {
                together(service, owner) && (any(port) || any(other) || port.host_ip == other.host_ip)
            });
            if let Some((_, owner, _)) = clash {
                let actual = format!("{}, whose port `{owner}` publishes", at.shown());
                reference(at, "an outside port of its own", actual, "choose another one");
            } else {
                others.push((*port, name, service));
            }
        }
    }
}

fn unique(project: &Project, places: &Places<'_>) {
    let mut containers = 0;
    let mut names = BTreeMap::new();
    for (name, place) in places {
        let Some(service) = project.services.get(name) else {
            continue;
        };
        containers += usize::from(service.replicas);
        let Some(own) = &service.container_name else {
            continue;
        };
        if let Some(other) = names.insert(own, name) {
            let actual = format!("the one that `{other}` has");
            reference(&place.service, "a `container_name` of its own", actual, "");
        }
    }
    if let (true, Some((_, place))) = (containers > MAX_CONTAINERS, places.first()) {
        let expected = format!("at most {MAX_CONTAINERS} containers in all");
        place
            .service
            .report(ProblemKind::Bound, &expected, containers.to_string(), "");
    }
}

fn addresses(project: &Project, places: &Places<'_>) {
    let mut taken = BTreeMap::new();
    for (name, place) in places {
        let Some(service) = project.services.get(name) else {
            continue;
        };
        for (network, attachment) in &service.networks {
            let Some(address) = attachment.ipv4 else { continue };
            let Some(other) = taken.insert((network, address), name) else {
                continue;
            };
            let at = place.networks.iter().find(|(known, _)| known == network);
            let actual = format!("the one that `{other}` has");
            let at = at.map_or(&place.service, |(_, at)| at);
            reference(at, "an address of its own", actual, "");
        }
    }
}

/// Volumes that would be the same folder.
pub(crate) fn volume_names(volumes: &BTreeMap<VolumeName, Volume>, cursor: &Cursor<'_>) {
    let mut names = BTreeMap::new();
    for (key, volume) in volumes {
        let Some(name) = &volume.name else { continue };
        if let Some(other) = names.insert(name, key) {
            let actual = format!("`{other}` and `{key}` with one");
            reference(cursor, "a `name` of its own for each", actual, "");
        }
    }
}
