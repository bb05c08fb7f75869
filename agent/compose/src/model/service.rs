//! One service, complete. Its `Debug` shows the image only: values may be secrets.

use super::{
    Capability, DependsOn, Device, ExposedPort, ExtraHost, FileMount, HealthPolicy, Limits, Logging, Mount,
    NetworkAttachment, NetworkMode, PortMapping, RestartPolicy, Signal, Ulimit,
};
use crate::{
    image::ImageRef,
    names::{
        ConfigName, ContainerName, HostName, NameError, NetworkName, ProfileName, SecretName, ServiceName,
    },
    units::ByteSize,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, time::Duration};

/// One service.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// The image.
    pub image: ImageRef,
    /// Whether a variable of the environment has a part in that name, so that the file alone does not say what runs.
    pub image_from_environment: bool,
    /// Arguments; absent: the image's. Empty clears them.
    pub command: Option<Vec<String>>,
    /// Program; absent: the image's. Written at all, the image's arguments do not apply. Empty clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Variables, over those of `env_file` and the image. `None`: not set, even if those set it.
    pub environment: BTreeMap<String, Option<String>>,
    /// Files of variables, later ones win.
    pub env_file: Vec<EnvFile>,
    /// Working directory, absolute.
    pub working_dir: Option<String>,
    /// User and group.
    pub user: Option<User>,
    /// More groups, by name or number.
    pub group_add: Vec<String>,
    /// Name of the container; absent: made from project, service and number.
    pub container_name: Option<ContainerName>,
    /// Host name inside.
    pub hostname: Option<HostName>,
    /// Domain name inside.
    pub domainname: Option<HostName>,
    /// Volumes, host paths and tmpfs, in the order of the file.
    pub mounts: Vec<Mount>,
    /// What its network is.
    pub network_mode: NetworkMode,
    /// Bridges it is on, with `NetworkMode::Bridges`; `default` when the file names none.
    pub networks: BTreeMap<NetworkName, NetworkAttachment>,
    /// Published ports, ranges written out.
    pub ports: Vec<PortMapping>,
    /// Ports inside, for people.
    pub expose: Vec<ExposedPort>,
    /// What it waits for, `network_mode: service:…` included.
    pub depends_on: BTreeMap<ServiceName, DependsOn>,
    /// Health check.
    pub healthcheck: HealthPolicy,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Containers of it; 1 unless the file says otherwise.
    pub replicas: u16,
    /// Resource limits.
    pub limits: Limits,
    /// Limits of the kernel per process, by name without `RLIMIT_`, lower case.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Capabilities added.
    pub cap_add: Vec<Capability>,
    /// Capabilities taken away.
    pub cap_drop: Vec<Capability>,
    /// All capabilities and devices.
    pub privileged: bool,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Whether no program may gain rights by set-user-id.
    pub no_new_privileges: bool,
    /// Devices.
    pub devices: Vec<Device>,
    /// Kernel settings of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Log rotation.
    pub logging: Logging,
    /// Signal that asks it to stop; absent: the image's, else SIGTERM.
    pub stop_signal: Option<Signal>,
    /// Time to stop before it is killed; default 10 s.
    pub stop_grace_period: Duration,
    /// Whether a small init is process 1.
    pub init: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input stays open.
    pub stdin_open: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the container.
    pub annotations: BTreeMap<String, String>,
    /// Lines for `/etc/hosts`.
    pub extra_hosts: Vec<ExtraHost>,
    /// Name servers; empty: the guest's.
    pub dns: Vec<IpAddr>,
    /// Domains searched.
    pub dns_search: Vec<HostName>,
    /// Secrets it sees.
    pub secrets: Vec<FileMount<SecretName>>,
    /// Configs it sees.
    pub configs: Vec<FileMount<ConfigName>>,
    /// Size of `/dev/shm`; absent: 64 MiB.
    pub shm_size: Option<ByteSize>,
    /// Profiles it belongs to; empty: it always runs.
    pub profiles: Vec<ProfileName>,
}

impl Service {
    /// A service of `image` with nothing else said.
    pub fn new(image: ImageRef) -> Self {
        Self {
            image,
            image_from_environment: false,
            command: None,
            entrypoint: None,
            environment: BTreeMap::new(),
            env_file: Vec::new(),
            working_dir: None,
            user: None,
            group_add: Vec::new(),
            container_name: None,
            hostname: None,
            domainname: None,
            mounts: Vec::new(),
            network_mode: NetworkMode::Bridges,
            networks: BTreeMap::new(),
            ports: Vec::new(),
            expose: Vec::new(),
            depends_on: BTreeMap::new(),
            healthcheck: HealthPolicy::Image,
            restart: RestartPolicy::default(),
            replicas: 1,
            limits: Limits::default(),
            ulimits: BTreeMap::new(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            privileged: false,
            read_only: false,
            no_new_privileges: false,
            devices: Vec::new(),
            sysctls: BTreeMap::new(),
            logging: Logging::default(),
            stop_signal: None,
            stop_grace_period: Duration::from_secs(10),
            init: false,
            tty: false,
            stdin_open: false,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            secrets: Vec::new(),
            configs: Vec::new(),
            shm_size: None,
            profiles: Vec::new(),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Service")
            .field("image", &self.image.to_string())
            .finish_non_exhaustive()
    }
}

/// One entry of `env_file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvFile {
    /// Absolute, or beginning with `./`: relative to the project's folder.
    pub path: String,
    /// Whether a missing file is an error.
    pub required: bool,
    /// How its lines are read.
    pub format: EnvFormat,
}

/// How lines of an env file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvFormat {
    /// Quotes, escapes, comments and `${…}` mean something.
    Compose,
    /// Everything after `=` is the value.
    Raw,
}

/// `user`: names or numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Name or number.
    pub user: String,
    /// Name or number; absent: the user's own group.
    pub group: Option<String>,
}

pub(crate) fn is_account(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && (!text.bytes().all(|b| b.is_ascii_digit()) || text.parse::<u32>().is_ok_and(|id| id < u32::MAX))
}

impl FromStr for User {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        if !is_account(user) || !group.is_none_or(is_account) {
            return Err(NameError::new(
                "user or user:group, each a name or a number",
                text,
            ));
        }
        Ok(Self {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }
}
