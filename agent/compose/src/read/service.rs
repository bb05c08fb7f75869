//! One service. Refuses keys that contradict each other, and references to what the file does not declare.

use super::{
    checks::Place,
    cursor::Cursor,
    fields::Fields,
    health,
    limits::{self, Deploy},
    mount::{self, file_mounts},
    network, port, process,
    project::Declared,
};
use crate::{
    error::ProblemKind,
    keys,
    model::{DependsOn, Limits, NetworkMode, Service, is_account},
    names::NameError,
    units::{MilliCpus, duration},
};
use std::collections::BTreeMap;

/// The service, and the places the checks between services need.
pub(crate) fn service<'r>(cursor: Cursor<'r>, declared: &Declared) -> Option<(Service, Place<'r>)> {
    let fields = Fields::open(cursor, keys::SERVICE)?;
    let advice = "write `image: registry/name@sha256:…`";
    let image = fields.require("image", advice);
    let from_environment = image.as_ref().is_some_and(Cursor::is_from_environment);
    let image = image.and_then(|image| image.parse());
    // The rest is read even so: all problems at once. This reference stands in and is never returned.
    let stand_in = || "scratch".parse().ok();
    let mut service = Service::new(image.clone().or_else(stand_in)?);
    let mut place = Place::new(&fields);
    process_keys(&fields, &mut service);
    identity_keys(&fields, &mut service);
    network_keys(&fields, &mut service, &mut place, declared);
    file_keys(&fields, &mut service, declared);
    life_keys(&fields, &mut service, &mut place, declared);
    limit_keys(&fields, &mut service);
    security_keys(&fields, &mut service);
    only_defaults(&fields);
    fields.finish();
    service.image = image?;
    service.image_from_environment = from_environment;
    Some((service, place))
}

fn process_keys(fields: &Fields<'_>, service: &mut Service) {
    service.command = fields.take("command").and_then(|c| process::command(&c));
    service.entrypoint = fields.take("entrypoint").and_then(|c| process::command(&c));
    service.environment = fields
        .take("environment")
        .and_then(|e| process::environment(&e))
        .unwrap_or_default();
    service.env_file = fields
        .take_measured("env_file")
        .and_then(|f| process::env_files(&f))
        .unwrap_or_default();
    service.working_dir = fields
        .take("working_dir")
        .and_then(|dir| match dir.text("a path")?.as_str() {
            "/" => Some("/".to_owned()),
            _ => mount::target(&dir),
        });
    service.user = fields.take("user").and_then(|user| user.parse());
    service.group_add = fields
        .take("group_add")
        .and_then(|list| list.list())
        .unwrap_or_default()
        .iter()
        .filter_map(|group| {
            group.convert(|text| match is_account(text) {
                true => Ok(text.to_owned()),
                false => Err(NameError::new("a group's name or number", text)),
            })
        })
        .collect();
    service.init = fields.flag("init").unwrap_or(false);
    service.tty = fields.flag("tty").unwrap_or(false);
    if let Some(cursor) = fields.take("stdin_open") {
        service.stdin_open = cursor.flag().unwrap_or(false);
        if service.stdin_open && !service.tty {
            cursor.clash(
                "`tty: true` beside it",
                "nobody is attached to a container; leave it out, or give it a terminal",
            );
        }
    }
}

fn identity_keys(fields: &Fields<'_>, service: &mut Service) {
    service.container_name = fields.take("container_name").and_then(|name| name.parse());
    service.hostname = fields.take("hostname").and_then(|name| name.parse());
    service.domainname = fields.take("domainname").and_then(|name| name.parse());
    let labels = |key| {
        let labels = fields.take(key).and_then(|list| process::labels(&list));
        labels.unwrap_or_default()
    };
    service.labels = labels("labels");
    service.annotations = labels("annotations");
    service.profiles = fields
        .take("profiles")
        .and_then(|list| limits::set(&list))
        .unwrap_or_default();
}

fn network_keys<'r>(fields: &Fields<'r>, service: &mut Service, place: &mut Place<'r>, declared: &Declared) {
    if let Some(cursor) = fields.take_measured("network_mode") {
        service.network_mode = network::mode(&cursor).unwrap_or_default();
        if let NetworkMode::Service(name) = &service.network_mode {
            if !declared.services.contains(name) {
                cursor.clash("a service of this file", "");
            }
            place.dependency(name, &cursor);
            service.depends_on.insert(name.clone(), DependsOn::default());
        }
        place.network_mode = Some(cursor);
    }
    if let Some(cursor) = fields.take("networks") {
        let attachments = network::attachments(&cursor, declared).unwrap_or_default();
        for (name, attachment, at) in attachments {
            place.networks.push((name.clone(), at));
            service.networks.entry(name).or_insert(attachment);
        }
        place.has_networks = Some(cursor);
    } else if service.network_mode == NetworkMode::Bridges
        && let Ok(name) = "default".parse()
    {
        service.networks = BTreeMap::from([(name, Default::default())]);
    }
    if let Some(cursor) = fields.take("ports") {
        place.ports = port::ports(&cursor).unwrap_or_default();
        service.ports = place.ports.iter().map(|(port, _)| *port).collect();
    }
    service.expose = fields
        .take("expose")
        .and_then(|e| port::expose(&e))
        .unwrap_or_default();
    service.extra_hosts = fields
        .take("extra_hosts")
        .and_then(|h| network::extra_hosts(&h))
        .unwrap_or_default();
    service.dns = fields
        .take("dns")
        .and_then(|dns| network::dns(&dns))
        .unwrap_or_default();
    service.dns_search = fields
        .take("dns_search")
        .and_then(|dns| network::dns_search(&dns))
        .unwrap_or_default();
}

fn file_keys(fields: &Fields<'_>, service: &mut Service, declared: &Declared) {
    let mut targets = BTreeMap::new();
    let mut claim = |target: &str, path: &str| {
        if let Some(first) = targets.insert(target.to_owned(), path.to_owned()) {
            fields.cursor.report(
                ProblemKind::Duplicate,
                "one mount for each path inside the container",
                format!("two: {first} and {path}"),
                "remove one",
            );
        }
    };
    let volumes = fields
        .take_measured("volumes")
        .and_then(|v| mount::mounts(&v, declared));
    let tmpfs = fields.take("tmpfs").and_then(|t| mount::tmpfs_paths(&t));
    for (mount, path) in volumes.into_iter().chain(tmpfs).flatten() {
        claim(&mount.target, &path);
        service.mounts.push(mount);
    }
    let secrets = fields
        .take("secrets")
        .and_then(|s| file_mounts(&s, &declared.secrets, ("secrets", "/run/secrets/")));
    for (secret, path) in secrets.unwrap_or_default() {
        claim(&secret.target, &path);
        service.secrets.push(secret);
    }
    let configs = fields
        .take("configs")
        .and_then(|c| file_mounts(&c, &declared.configs, ("configs", "/")));
    for (config, path) in configs.unwrap_or_default() {
        claim(&config.target, &path);
        service.configs.push(config);
    }
}

fn life_keys<'r>(fields: &Fields<'r>, service: &mut Service, place: &mut Place<'r>, declared: &Declared) {
    let depends_on = fields.take("depends_on").and_then(|d| health::depends_on(&d));
    for (name, on, at) in depends_on.unwrap_or_default() {
        if !declared.services.contains(&name) {
            at.report(ProblemKind::Reference, "a service of this file", at.label(), "");
            continue;
        }
        place.dependency(&name, &at);
        service.depends_on.insert(name, on);
    }
    service.healthcheck = fields
        .take("healthcheck")
        .and_then(health::healthcheck)
        .unwrap_or_default();
    let restart = fields.take("restart");
    service.restart = restart.as_ref().and_then(health::restart).unwrap_or_default();
    let Deploy {
        replicas,
        limits,
        restart: policy,
    } = fields.take("deploy").and_then(limits::deploy).unwrap_or_default();
    if let Some(policy) = policy {
        if let Some(restart) = restart {
            restart.clash(
                "one restart policy",
                "remove `restart` or `deploy.restart_policy`",
            );
        }
        service.restart = policy;
    }
    service.limits = limits;
    let scale = fields.take("scale");
    let scaled = scale.as_ref().and_then(limits::replicas);
    if let (Some(scale), Some(number), Some(replicas)) = (scale, scaled, replicas)
        && number != replicas
    {
        scale.clash("the number `deploy.replicas` says", "remove one of the two");
    }
    service.replicas = replicas.or(scaled).unwrap_or(1);
    service.stop_signal = fields.take("stop_signal").and_then(|signal| signal.parse());
    if let Some(time) = fields
        .take("stop_grace_period")
        .and_then(|time| time.convert(duration))
    {
        service.stop_grace_period = time;
    }
    if let Some(logging) = fields.take("logging").and_then(limits::logging) {
        service.logging = logging;
    }
}

fn limit_keys(fields: &Fields<'_>, service: &mut Service) {
    let Limits { cpus, memory, pids } = &mut service.limits;
    both(fields.take("cpus"), Cursor::parse::<MilliCpus>, cpus);
    both(fields.take("mem_limit"), limits::memory, memory);
    both(fields.take("pids_limit"), limits::pids, pids);
    service.ulimits = fields
        .take("ulimits")
        .and_then(|list| limits::ulimits(&list))
        .unwrap_or_default();
    service.shm_size = fields.take("shm_size").and_then(|size| size.parse());
}

/// An older limit key into `limit`; it may not say something else than `deploy.resources.limits`.
fn both<'r, T: PartialEq>(
    cursor: Option<Cursor<'r>>,
    read: impl Fn(&Cursor<'r>) -> Option<T>,
    limit: &mut Option<T>,
) {
    let Some(cursor) = cursor else { return };
    let value = read(&cursor);
    if limit.is_some() && value.is_some() && *limit != value {
        cursor.clash("what `deploy.resources.limits` says", "remove one of the two");
    }
    if value.is_some() {
        *limit = value;
    }
}

fn security_keys(fields: &Fields<'_>, service: &mut Service) {
    let capabilities = |key| {
        let list = fields.take_measured(key).and_then(|list| limits::set(&list));
        list.unwrap_or_default()
    };
    service.cap_add = capabilities("cap_add");
    service.cap_drop = capabilities("cap_drop");
    let privileged = fields.take_measured("privileged");
    service.privileged = privileged.and_then(|flag| flag.flag()).unwrap_or(false);
    service.read_only = fields.flag("read_only").unwrap_or(false);
    service.no_new_privileges = fields
        .take_measured("security_opt")
        .and_then(|list| limits::security_opt(&list))
        .unwrap_or(false);
    service.devices = fields
        .take_measured("devices")
        .and_then(|list| limits::devices(&list))
        .unwrap_or_default();
    if let Some(cursor) = fields.take_measured("sysctls") {
        service.sysctls = limits::sysctls(&cursor).unwrap_or_default();
        let net = service.sysctls.keys().any(|name| name.starts_with("net."));
        if net && matches!(service.network_mode, NetworkMode::Host | NetworkMode::Service(_)) {
            cursor.clash(
                "no net. settings without a network of its own",
                "set them on the service whose network it is",
            );
        }
    }
}

/// Keys of which only the value that changes nothing is supported.
fn only_defaults(fields: &Fields<'_>) {
    if let Some(platform) = fields.take("platform") {
        platform.choice(&[("linux/amd64", ()), ("linux/x86_64", ())]);
    }
    if let Some(policy) = fields.take("pull_policy") {
        policy.choice(&[("missing", ()), ("if_not_present", ())]);
    }
}
