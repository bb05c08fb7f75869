//! Operations on one container, each safe to begin again after it was cut short anywhere: a start first clears whatever an
//! earlier one left. Two operations on one container never run at once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::beneath::Held;
use crate::blueprint::{Blueprint, Connection, MountPlan};
use crate::config::RuntimeConfig;
use crate::containerd::{Containerd, Record, TaskIo, TaskState};
use crate::error::RuntimeError;
use crate::files;
use crate::logs::LogSettings;
use crate::network::Networks;
use crate::network::manager::Joined;
use crate::rootfs::Rootfs;
use crate::spec::{self, Site};

use super::site;

/// Label of every container record of this runtime: the project's name.
pub(crate) const LABEL_PROJECT: &str = "kedge.project";
/// Label: the service's name.
pub(crate) const LABEL_SERVICE: &str = "kedge.service";
/// Label: digest of the blueprint it was made from.
pub(crate) const LABEL_DIGEST: &str = "kedge.digest";

const SIGKILL: u32 = 9;
/// How long a killed process may take to be gone.
const KILLED: Duration = Duration::from_secs(30);
/// How long a task that an earlier start asked for may take to appear or to go.
const CREATED: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

/// What operations work with.
#[derive(Debug)]
pub(crate) struct Ops {
    pub(crate) config: RuntimeConfig,
    pub(crate) client: Containerd,
    pub(crate) networks: Networks,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Ops {
    pub(crate) fn new(config: RuntimeConfig, client: Containerd, networks: Networks) -> Self {
        Self {
            config,
            client,
            networks,
            locks: Mutex::default(),
        }
    }

    pub(super) async fn lock(&self, id: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(id.to_owned()).or_default().clone()
        };
        lock.lock_owned().await
    }

    /// Clears what is left, then starts; gives the process id.
    pub(crate) async fn start(
        &self,
        blueprint: &Blueprint,
        digest: &str,
        fresh: bool,
    ) -> Result<u32, RuntimeError> {
        let id = &blueprint.id;
        let _lock = self.lock(id).await;
        self.clear_task(id).await?;
        if fresh {
            self.client.remove_snapshot(id).await?;
            self.client.delete_container(id).await?;
        }
        let deadline = tokio::time::Instant::now() + CREATED;
        let started = loop {
            let started = self.start_cleared(blueprint, digest).await;
            // A call that an earlier start was cut short in may still be under way inside containerd.
            let held = started.as_ref().is_err_and(already_there);
            if !held || tokio::time::Instant::now() > deadline {
                break started;
            }
            tokio::time::sleep(PAUSE).await;
            self.clear_task(id).await?;
        };
        if started.is_err() {
            // Best effort: the next start clears again.
            if let Err(error) = self.clear_task(id).await {
                tracing::warn!(
                    container = id,
                    error = error.chain(),
                    "clearing after a failed start"
                );
            }
        }
        started
    }

    async fn start_cleared(&self, blueprint: &Blueprint, digest: &str) -> Result<u32, RuntimeError> {
        let id = &blueprint.id;
        let mounts = self
            .client
            .prepare_snapshot(id, &blueprint.image.chain_id)
            .await?;
        let site = self.site(blueprint, &mounts).await?;
        let spec = spec::build(blueprint, &site)?;
        match self.client.container(id).await? {
            Some(_) => self.client.update_spec(id, &spec).await?,
            None => {
                self.client
                    .create_container(&record(blueprint, digest, spec))
                    .await?
            }
        }
        let io = self.io(blueprint)?;
        let pid = self.client.create_task(id, mounts, &io).await?;
        if let Connection::Bridges(wishes) = &blueprint.connection {
            let network = |source| RuntimeError::Network {
                container: id.clone(),
                source,
            };
            let joined = self
                .networks
                .join(id, wishes, &netns(pid))
                .await
                .map_err(network)?;
            site::write_addresses(&self.config, blueprint, &self.networks, &joined)?;
        }
        self.client.start(id, "").await?;
        Ok(pid)
    }

    /// Takes over a running container.
    pub(crate) async fn adopt(&self, blueprint: &Blueprint) -> Result<Vec<Joined>, RuntimeError> {
        let Connection::Bridges(wishes) = &blueprint.connection else {
            return Ok(Vec::new());
        };
        let network = |source| RuntimeError::Network {
            container: blueprint.id.clone(),
            source,
        };
        self.networks.adopt(&blueprint.id, wishes).await.map_err(network)
    }

    /// Asks a container to end, kills it after its grace, clears its running side. Gives its exit code.
    pub(crate) async fn stop(
        &self,
        id: &str,
        signal: u32,
        grace: Duration,
    ) -> Result<Option<u32>, RuntimeError> {
        let _lock = self.lock(id).await;
        let mut code = None;
        if let Some(TaskState::Running(_)) = self.client.task(id).await? {
            self.client.kill(id, "", signal, false).await?;
            match tokio::time::timeout(grace, self.client.wait(id, "")).await {
                Ok(ended) => code = ended?.map(|exit| exit.code),
                Err(_) => tracing::info!(
                    container = id,
                    ?grace,
                    "killed: it did not end in its grace period"
                ),
            }
        } else if let Some(TaskState::Stopped(exit)) = self.client.task(id).await? {
            code = Some(exit.code);
        }
        let killed = self.clear_task(id).await?;
        Ok(code.or(killed))
    }

    /// Removes a container altogether.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        let _lock = self.lock(id).await;
        self.clear_task(id).await?;
        // The record goes last: as long as it is there, a removal that was cut short is begun again.
        self.client.remove_snapshot(id).await?;
        self.client.delete_container(id).await?;
        let logs = self.log_folder(id);
        files::remove_folder(&logs).map_err(RuntimeError::io(&logs, "removing logs"))
    }

    /// Releases the network of a container that ended.
    pub(crate) async fn release(&self, id: &str) {
        let _lock = self.lock(id).await;
        // A new task may have been made in the meantime.
        if !matches!(self.client.task(id).await, Ok(Some(TaskState::Stopped(_)) | None)) {
            return;
        }
        if let Err(error) = self.networks.leave(id, None).await {
            tracing::warn!(container = id, %error, "its addresses stay taken until it is started again");
        }
    }

    /// Kills and removes the task, takes the interfaces away, removes files of the last run. Gives the exit code, if any.
    pub(crate) async fn clear_task(&self, id: &str) -> Result<Option<u32>, RuntimeError> {
        let mut code = None;
        let mut pid = None;
        if let Some(state) = self.client.task(id).await? {
            if let TaskState::Running(running) = state {
                pid = Some(running);
            }
            match state {
                TaskState::Stopped(exit) => code = Some(exit.code),
                TaskState::Running(_) | TaskState::Created => {
                    self.client.kill(id, "", SIGKILL, true).await?;
                    let ended = tokio::time::timeout(KILLED, self.client.wait(id, "")).await;
                    let ended = ended.map_err(|_| RuntimeError::Unreachable {
                        call: "wait",
                        reason: format!("{id} is not gone {KILLED:?} after it was killed"),
                    })?;
                    code = ended?.map(|exit| exit.code);
                }
            }
            self.client.delete_task(id).await?;
        }
        let network = |source| RuntimeError::Network {
            container: id.to_owned(),
            source,
        };
        let netns = pid.map(netns).filter(|path| path.exists());
        self.networks.leave(id, netns.as_deref()).await.map_err(network)?;
        let folder = site::folder(&self.config, id);
        files::remove_folder(&folder).map_err(RuntimeError::io(folder, "removing old files"))?;
        Ok(code)
    }

    async fn site(
        &self,
        blueprint: &Blueprint,
        mounts: &[containerd_client::types::Mount],
    ) -> Result<Site, RuntimeError> {
        let network_of = match &blueprint.connection {
            Connection::Of(other) => match self.client.task(other).await? {
                Some(TaskState::Running(pid)) => Some(pid),
                _ => {
                    return Err(RuntimeError::Unreachable {
                        call: "network of another service",
                        reason: format!("{other} is not running"),
                    });
                }
            },
            _ => None,
        };
        let look = self.config.look(&blueprint.id);
        let rootfs = Rootfs::mount(&look, mounts)?;
        let passwd = rootfs.read_text("etc/passwd")?;
        let group = rootfs.read_text("etc/group")?;
        let user = spec::user::resolve(&blueprint.user, &blueprint.group_add, &passwd, &group);
        let user = user.map_err(|error| RuntimeError::Malformed {
            what: format!("user of service {}", blueprint.service),
            expected: "a number, or a name the image knows",
            got: error.to_string(),
        })?;
        let sources = sources(blueprint, &rootfs, &self.config)?;
        drop(rootfs);
        let files = site::write(&self.config, blueprint, &self.networks)?;
        Ok(Site {
            namespace: self.client.namespace().to_owned(),
            user,
            files,
            sources,
            network_of,
        })
    }

    /// The user of a container that runs, for processes in it.
    pub(super) fn user_of(&self, spec: &[u8]) -> Result<spec::user::ResolvedUser, RuntimeError> {
        let malformed = |got: String| RuntimeError::Malformed {
            what: "spec of a running container".to_owned(),
            expected: "what this runtime wrote",
            got,
        };
        let spec: serde_json::Value =
            serde_json::from_slice(spec).map_err(|error| malformed(error.to_string()))?;
        let number = |path: &str| spec.pointer(path).and_then(serde_json::Value::as_u64);
        let narrow = |value: u64| u32::try_from(value).ok();
        let (Some(uid), Some(gid)) = (
            number("/process/user/uid").and_then(narrow),
            number("/process/user/gid").and_then(narrow),
        ) else {
            return Err(malformed("no user".to_owned()));
        };
        let groups = spec
            .pointer("/process/user/additionalGids")
            .and_then(serde_json::Value::as_array);
        let groups = groups
            .into_iter()
            .flatten()
            .filter_map(serde_json::Value::as_u64)
            .filter_map(narrow)
            .collect();
        let lines = spec.pointer("/process/env").and_then(serde_json::Value::as_array);
        let home = lines
            .into_iter()
            .flatten()
            .find_map(|line| line.as_str()?.strip_prefix("HOME="));
        Ok(spec::user::ResolvedUser {
            uid,
            gid,
            groups,
            home: home.map(str::to_owned),
        })
    }

    /// Folder of a container's log.
    pub(crate) fn log_folder(&self, id: &str) -> PathBuf {
        self.config.data.join("logs").join(id)
    }

    fn io(&self, blueprint: &Blueprint) -> Result<TaskIo, RuntimeError> {
        let folder = self.log_folder(&blueprint.id);
        let settings = LogSettings {
            folder: folder.clone(),
            max_size: blueprint.log_max_size,
            max_file: blueprint.log_max_file,
        };
        let file = folder.join("settings.json");
        files::write_json(&file, &settings).map_err(RuntimeError::io(&file, "writing"))?;
        let uri = format!(
            "binary://{}?log-writer={}",
            escape(&self.config.log_writer),
            escape(&file)
        );
        Ok(TaskIo {
            uri,
            terminal: blueprint.tty,
            stdin: None,
        })
    }
}

fn already_there(error: &RuntimeError) -> bool {
    match error {
        RuntimeError::Containerd { code, message, .. } => {
            // A shim that cannot start says nothing about the container: its folder is being made or removed meanwhile.
            let words = ["file exists", "already exists", "failed to start shim"];
            *code == tonic::Code::AlreadyExists || words.iter().any(|word| message.contains(word))
        }
        _ => false,
    }
}

fn record(blueprint: &Blueprint, digest: &str, spec: Vec<u8>) -> Record {
    let labels = [
        (LABEL_PROJECT, blueprint.project.clone()),
        (LABEL_SERVICE, blueprint.service.clone()),
        (LABEL_DIGEST, digest.to_owned()),
    ];
    Record {
        id: blueprint.id.clone(),
        image: blueprint.image.reference.clone(),
        labels: labels
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        spec,
        snapshot: blueprint.id.clone(),
    }
}

/// Makes volumes and folders that are not there yet; gives what to mount for each target.
fn sources(
    blueprint: &Blueprint,
    rootfs: &Rootfs,
    config: &RuntimeConfig,
) -> Result<BTreeMap<String, Held>, RuntimeError> {
    let data = config.data.as_path();
    let mut all = BTreeMap::new();
    for (number, plan) in blueprint.mounts.iter().enumerate() {
        let stage = config.look(&format!("{}.{number}", blueprint.id));
        let (target, held) = match plan {
            MountPlan::Volume {
                folder,
                subpath,
                target,
                copy,
                ..
            } => {
                let inside = target.trim_start_matches('/');
                rootfs.fill_volume(folder, copy.then_some(inside))?;
                let name = folder.strip_prefix(data).unwrap_or(folder);
                let path = name.join(subpath.as_deref().unwrap_or_default());
                let held = Held::below(data, &path, subpath.is_some(), &stage);
                (
                    target,
                    held.map_err(RuntimeError::io(folder, "mounting a volume"))?,
                )
            }
            MountPlan::Bind {
                source,
                project: Some(folder),
                target,
                create,
                ..
            } => {
                let held = Held::below(folder, source, *create, &stage);
                (
                    target,
                    held.map_err(RuntimeError::io(source, "mounting a path of the project"))?,
                )
            }
            MountPlan::Bind {
                source,
                target,
                create,
                ..
            } => (target, absolute(source, *create)?),
            MountPlan::Tmpfs { .. } | MountPlan::File { .. } => continue,
        };
        all.insert(target.clone(), held);
    }
    Ok(all)
}

fn absolute(source: &Path, create: bool) -> Result<Held, RuntimeError> {
    if !source.exists() {
        if !create {
            let error = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(RuntimeError::io(source, "mounting a path of the host")(error));
        }
        std::fs::create_dir_all(source).map_err(RuntimeError::io(source, "making a folder to mount"))?;
    }
    Ok(Held::absolute(source))
}

/// The network namespace of a process.
fn netns(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

/// A path inside a URI.
fn escape(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    path.as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| {
            if plain(byte) {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
