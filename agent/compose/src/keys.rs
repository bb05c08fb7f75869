//! Every key Compose has: supported, or refused with what to do instead. The reader looks here for a key it did not read, and
//! `docs/compose.md` is held to these tables by a test.

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Read.
    Yes,
    /// Refused; what to do instead.
    No(&'static str),
}

/// The keys of one kind of mapping.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Where it stands, as in `docs/compose.md`.
    pub title: &'static str,
    /// Key and what becomes of it.
    pub keys: &'static [(&'static str, Support)],
}

impl Section {
    /// What becomes of `key`; `None`: nobody knows it here.
    pub fn support(&self, key: &str) -> Option<Support> {
        let found = self.keys.iter().find(|(known, _)| *known == key);
        found.map(|(_, support)| *support)
    }

    /// A supported key that `key` may be a slip of.
    pub(crate) fn near(&self, key: &str) -> Option<&'static str> {
        let supported = self.keys.iter().filter(|(_, support)| *support == Support::Yes);
        let close = supported.map(|(known, _)| (distance(known, key), *known)).min()?;
        (close.0 <= 2 && key.len() > 2).then_some(close.1)
    }
}

/// Letters to change, add or take away to get from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(from != *to)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

const NOT_OTHERS: &str =
    "the guest has its machine to itself; give it memory and processors when it is deployed";
const NO_BUILD: &str = "build the image elsewhere, push it to a registry and write it as `image: …@sha256:…`";
const ONE_FILE: &str = "write it into this file; anchors (`&name`, `*name`, `<<`) share parts";
const BRIDGES_ONLY: &str = "leave it out; networks are bridges inside the guest";
const MADE_HERE: &str = "leave it out; everything in a guest is made from this file";
const NAMESPACES: &str = "leave it out; each container has its own";
const LOCAL_VOLUMES: &str = "leave it out; volumes are folders on the guest's encrypted disk";
const USE_CPUS: &str = "write `cpus`";
const SWARM: &str = "leave it out; there is one machine";
const GPUS: &str = "leave it out; graphics processors are not handed to containers";

use Support::{No, Yes};

macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident = $title:literal { $($key:literal: $support:expr,)* })*) => {
        $($(#[$doc])* pub(crate) const $name: &Section = &Section { title: $title, keys: &[$(($key, $support),)*] };)*
        /// Every kind of mapping in a file.
        pub const SECTIONS: &[&Section] = &[$($name),*];
    };
}

sections! {
    TOP = "top level" {
        "name": Yes,
        "version": Yes,
        "services": Yes,
        "networks": Yes,
        "volumes": Yes,
        "secrets": Yes,
        "configs": Yes,
        "include": No(ONE_FILE),
        "models": No("run the model as a service of its own"),
    }
    SERVICE = "service" {
        "annotations": Yes,
        "cap_add": Yes,
        "cap_drop": Yes,
        "command": Yes,
        "configs": Yes,
        "container_name": Yes,
        "cpus": Yes,
        "depends_on": Yes,
        "deploy": Yes,
        "devices": Yes,
        "dns": Yes,
        "dns_search": Yes,
        "domainname": Yes,
        "entrypoint": Yes,
        "env_file": Yes,
        "environment": Yes,
        "expose": Yes,
        "extra_hosts": Yes,
        "group_add": Yes,
        "healthcheck": Yes,
        "hostname": Yes,
        "image": Yes,
        "init": Yes,
        "labels": Yes,
        "logging": Yes,
        "mem_limit": Yes,
        "network_mode": Yes,
        "networks": Yes,
        "pids_limit": Yes,
        "platform": Yes,
        "ports": Yes,
        "privileged": Yes,
        "profiles": Yes,
        "pull_policy": Yes,
        "read_only": Yes,
        "restart": Yes,
        "scale": Yes,
        "secrets": Yes,
        "security_opt": Yes,
        "shm_size": Yes,
        "stdin_open": Yes,
        "stop_grace_period": Yes,
        "stop_signal": Yes,
        "sysctls": Yes,
        "tmpfs": Yes,
        "tty": Yes,
        "ulimits": Yes,
        "user": Yes,
        "volumes": Yes,
        "working_dir": Yes,
        "attach": No("leave it out; logs of every container are kept, see `logging`"),
        "blkio_config": No(NOT_OTHERS),
        "build": No(NO_BUILD),
        "cgroup": No(NAMESPACES),
        "cgroup_parent": No(NAMESPACES),
        "cpu_count": No(USE_CPUS),
        "cpu_percent": No(USE_CPUS),
        "cpu_period": No(USE_CPUS),
        "cpu_quota": No(USE_CPUS),
        "cpu_rt_period": No(USE_CPUS),
        "cpu_rt_runtime": No(USE_CPUS),
        "cpu_shares": No(USE_CPUS),
        "cpuset": No(USE_CPUS),
        "credential_spec": No("leave it out; it is for Windows"),
        "develop": No(NO_BUILD),
        "device_cgroup_rules": No("name the devices under `devices`"),
        "dns_opt": No("leave it out, or mount a resolv.conf of your own"),
        "extends": No(ONE_FILE),
        "external_links": No(MADE_HERE),
        "gpus": No(GPUS),
        "ipc": No(NAMESPACES),
        "isolation": No("leave it out; it is for Windows"),
        "label_file": No("write `labels`"),
        "links": No("leave it out; services on one network find each other by name, more names go into `networks.<name>.aliases`"),
        "mac_address": No(BRIDGES_ONLY),
        "mem_reservation": No(NOT_OTHERS),
        "mem_swappiness": No(NOT_OTHERS),
        "memswap_limit": No("write `mem_limit` alone"),
        "models": No("run the model as a service of its own"),
        "oom_kill_disable": No("write `mem_limit`"),
        "oom_score_adj": No("write `mem_limit`"),
        "pid": No(NAMESPACES),
        "post_start": No("run it as a service with `depends_on`"),
        "pre_stop": No("handle `stop_signal` in the program"),
        "provider": No("run it as a service of its own"),
        "pull_refresh_after": No("leave it out; an image named by digest does not change"),
        "runtime": No("leave it out; containers run under runc"),
        "storage_opt": No("bound the data in a `tmpfs` with `size`"),
        "use_api_socket": No("leave it out; the guest has no Docker API"),
        "userns_mode": No(NAMESPACES),
        "uts": No(NAMESPACES),
        "volumes_from": No("name the volumes under `volumes` of both services"),
    }
    HEALTHCHECK = "healthcheck" {
        "test": Yes,
        "interval": Yes,
        "timeout": Yes,
        "retries": Yes,
        "start_period": Yes,
        "start_interval": Yes,
        "disable": Yes,
    }
    DEPENDS_ON = "depends_on.<service>" {
        "condition": Yes,
        "restart": Yes,
        "required": Yes,
    }
    DEPLOY = "deploy" {
        "replicas": Yes,
        "resources": Yes,
        "restart_policy": Yes,
        "endpoint_mode": No(SWARM),
        "labels": No("write `labels` of the service"),
        "mode": No("leave it out, or write `replicas`"),
        "placement": No(SWARM),
        "rollback_config": No(SWARM),
        "update_config": No(SWARM),
    }
    RESOURCES = "deploy.resources" {
        "limits": Yes,
        "reservations": No(NOT_OTHERS),
    }
    LIMITS = "deploy.resources.limits" {
        "cpus": Yes,
        "memory": Yes,
        "pids": Yes,
    }
    RESTART_POLICY = "deploy.restart_policy" {
        "condition": Yes,
        "delay": Yes,
        "max_attempts": Yes,
        "window": No("leave it out; a container that ran for ten seconds counts as started"),
    }
    ENV_FILE = "env_file[]" {
        "path": Yes,
        "required": Yes,
        "format": Yes,
    }
    PORT = "ports[]" {
        "target": Yes,
        "published": Yes,
        "host_ip": Yes,
        "protocol": Yes,
        "mode": Yes,
        "name": Yes,
        "app_protocol": No("leave it out; ports carry bytes"),
    }
    MOUNT = "volumes[]" {
        "type": Yes,
        "source": Yes,
        "target": Yes,
        "read_only": Yes,
        "bind": Yes,
        "volume": Yes,
        "tmpfs": Yes,
        "consistency": No("leave it out; files are the guest's own"),
        "image": No("copy the files from a container into a volume"),
    }
    MOUNT_BIND = "volumes[].bind" {
        "create_host_path": Yes,
        "recursive": Yes,
        "propagation": No("leave it out; mounts stay inside the container"),
        "selinux": No("leave it out; the guest has no SELinux"),
    }
    MOUNT_VOLUME = "volumes[].volume" {
        "nocopy": Yes,
        "subpath": Yes,
        "labels": No("write `labels` of the volume"),
    }
    MOUNT_TMPFS = "volumes[].tmpfs" {
        "size": Yes,
        "mode": Yes,
    }
    ATTACHMENT = "service networks.<network>" {
        "aliases": Yes,
        "ipv4_address": Yes,
        "driver_opts": No(BRIDGES_ONLY),
        "gw_priority": No("leave it out; the first network by name leads outside"),
        "interface_name": No(BRIDGES_ONLY),
        "ipv6_address": No("write `ipv4_address`; networks carry IPv4"),
        "link_local_ips": No(BRIDGES_ONLY),
        "mac_address": No(BRIDGES_ONLY),
        "priority": No("leave it out; the first network by name leads outside"),
    }
    FILE_MOUNT = "service secrets[], configs[]" {
        "source": Yes,
        "target": Yes,
        "uid": Yes,
        "gid": Yes,
        "mode": Yes,
    }
    DEVICE = "devices[]" {
        "source": Yes,
        "target": Yes,
        "permissions": Yes,
    }
    ULIMIT = "ulimits.<name>" {
        "soft": Yes,
        "hard": Yes,
    }
    LOGGING = "logging" {
        "driver": Yes,
        "options": Yes,
    }
    LOG_OPTIONS = "logging.options" {
        "max-size": Yes,
        "max-file": Yes,
        "compress": No("leave it out; rotated files are bounded by `max-size` and `max-file`"),
        "env": No("leave it out; logs are plain lines"),
        "labels": No("leave it out; logs are plain lines"),
        "mode": No("leave it out; logs are written before the program goes on"),
        "tag": No("leave it out; logs are found by service"),
    }
    NETWORK = "networks.<network>" {
        "name": Yes,
        "driver": Yes,
        "internal": Yes,
        "ipam": Yes,
        "labels": Yes,
        "attachable": No(SWARM),
        "driver_opts": No(BRIDGES_ONLY),
        "enable_ipv4": No("leave it out; networks carry IPv4"),
        "enable_ipv6": No("leave it out; networks carry IPv4"),
        "external": No(MADE_HERE),
    }
    IPAM = "networks.<network>.ipam" {
        "driver": Yes,
        "config": Yes,
        "options": No("leave it out"),
    }
    IPAM_CONFIG = "networks.<network>.ipam.config[]" {
        "subnet": Yes,
        "gateway": Yes,
        "aux_addresses": No("write `ipv4_address` where a service needs a fixed address"),
        "ip_range": No("choose a `subnet` of that size"),
    }
    VOLUME = "volumes.<volume>" {
        "name": Yes,
        "driver": Yes,
        "labels": Yes,
        "driver_opts": No(LOCAL_VOLUMES),
        "external": No(MADE_HERE),
    }
    SECRET = "secrets.<secret>" {
        "file": Yes,
        "environment": Yes,
        "content": Yes,
        "driver": No("write `file`, `environment` or `content`"),
        "driver_opts": No("write `file`, `environment` or `content`"),
        "external": No(MADE_HERE),
        "labels": No("leave it out; nothing reads it"),
        "name": No("leave it out; the key is the name"),
        "template_driver": No("write the text out"),
    }
    CONFIG = "configs.<config>" {
        "file": Yes,
        "environment": Yes,
        "content": Yes,
        "external": No(MADE_HERE),
        "labels": No("leave it out; nothing reads it"),
        "name": No("leave it out; the key is the name"),
        "template_driver": No("write the text out"),
    }
}
