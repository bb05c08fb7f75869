//! What the runtime is told: sockets, folders, programs, address pool. It refuses nothing itself; `Runtime::connect` checks
//! that what must exist does.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::images::RegistryConfig;

/// Where networks of the project get their addresses from.
#[derive(Clone, Debug)]
pub struct SubnetPool {
    /// First address of the pool.
    pub base: Ipv4Addr,
    /// Length of the pool's prefix, 8 to 24; every network takes a /24 of it.
    pub prefix: u8,
}

impl Default for SubnetPool {
    fn default() -> Self {
        Self {
            base: Ipv4Addr::new(10, 128, 0, 0),
            prefix: 10,
        }
    }
}

/// Settings of one runtime: one compose project of one guest.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// containerd's gRPC socket.
    pub containerd: PathBuf,
    /// Namespace in containerd; one guest, one namespace.
    pub namespace: String,
    /// Folder that outlives the agent: volumes, container state, logs.
    pub data: PathBuf,
    /// Folder on a tmpfs for what must not reach the disk: files of secrets. Made if missing.
    pub run: PathBuf,
    /// Folder with the CNI plugins `bridge`, `host-local`, `loopback`, `portmap`, `firewall`.
    pub cni_bin: PathBuf,
    /// Snapshotter: `overlayfs`, or `native` where overlay cannot be mounted.
    pub snapshotter: String,
    /// Registries, mirrors, credentials.
    pub registries: RegistryConfig,
    /// Bind sources the project may name by a fixed path, and what is mounted for them.
    pub path_aliases: BTreeMap<PathBuf, PathBuf>,
    /// Program the shim runs to write a container's log; it gets `log-writer FILE` as arguments and must call
    /// [`crate::logs::write_until_closed`].
    pub log_writer: PathBuf,
    /// Static program put before a command for `init: true` (tini's calling convention). Without one `init: true` is refused.
    pub init: Option<PathBuf>,
    /// Address pool of the project's networks.
    pub subnets: SubnetPool,
    /// Resolver configuration of the host, read for upstream servers.
    pub resolv_conf: PathBuf,
}

impl RuntimeConfig {
    /// Settings with the usual places of a guest filled in.
    pub fn new(
        containerd: PathBuf,
        namespace: String,
        data: PathBuf,
        run: PathBuf,
        log_writer: PathBuf,
    ) -> Self {
        Self {
            containerd,
            namespace,
            data,
            run,
            cni_bin: PathBuf::from("/usr/lib/cni"),
            snapshotter: "overlayfs".to_owned(),
            registries: RegistryConfig::default(),
            path_aliases: BTreeMap::new(),
            log_writer,
            init: None,
            subnets: SubnetPool::default(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
        }
    }

    /// Where this runtime mounts something for itself, for a moment. What a killed one left is unmounted by the next.
    pub(crate) fn look(&self, name: &str) -> PathBuf {
        self.run.join("look").join(name)
    }
}
