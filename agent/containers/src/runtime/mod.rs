//! The runtime as its users see it.

mod follow;
mod observe;
mod running;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use compose_file::Project;

use crate::blueprint::{self, Blueprint, Context};
use crate::config::RuntimeConfig;
use crate::containerd::Containerd;
use crate::engine::plan::{Action, PlanError, plan};
use crate::error::RuntimeError;
use crate::images::ImageEvent;
use crate::network::Networks;
use crate::network::manager::NetworkWish;
use crate::shell::supervisor::{self, Blueprints};
use crate::shell::{LABEL_PROJECT, Ops};
use crate::{files, images, rootfs};

pub use follow::LogEntry;
pub use running::Running;

/// Name of a project whose file gives none.
const UNNAMED: &str = "app";

/// Something to tell people while a project comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// An image is looked up, and fetched when it is not here.
    Image {
        /// Service that needs it.
        service: String,
        /// Its reference.
        image: String,
    },
    /// An image is being fetched, or something about that.
    Fetching {
        /// Service that needs it.
        service: String,
        /// What happens.
        event: ImageEvent,
    },
    /// A container that runs already is kept.
    Adopted {
        /// The container.
        container: String,
    },
    /// A container is made, or made anew.
    Making {
        /// The container.
        container: String,
    },
    /// A container the project does not name is removed.
    Removing {
        /// The container.
        container: String,
    },
}

/// A connection to containerd with settings.
#[derive(Clone, Debug)]
pub struct Runtime {
    config: RuntimeConfig,
    client: Containerd,
}

impl Runtime {
    /// Connects to containerd and makes the folders.
    pub async fn connect(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        for folder in [&config.data, &config.run] {
            std::fs::create_dir_all(folder).map_err(RuntimeError::io(folder, "making a folder"))?;
        }
        let client = Containerd::connect(&config.containerd, &config.namespace, &config.snapshotter).await?;
        Ok(Self { config, client })
    }

    /// containerd's version: whether it answers.
    pub async fn containerd_version(&self) -> Result<String, RuntimeError> {
        self.client.version().await
    }

    /// Brings the project up and supervises it until the answer is dropped or stopped. Returns when every container had its
    /// first start; containers keep running when it fails, so that it can be asked again.
    ///
    /// `folder` is where relative paths of the file begin; `environment` is where secrets and configs with a variable as their
    /// source are taken from.
    pub async fn up(
        &self,
        project: &Project,
        folder: &Path,
        environment: &BTreeMap<String, String>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Running, RuntimeError> {
        let blueprints = self.blueprints(project, folder, environment, progress).await?;
        let networks = self.networks(project).await?;
        self.clear_looks()?;
        let ops = Arc::new(Ops::new(self.config.clone(), self.client.clone(), networks));
        let observed = observe::observed(&self.client).await?;
        let desired: Vec<_> = blueprints
            .values()
            .map(|(blueprint, _)| blueprint.desired())
            .collect();
        let mut actions = plan(&desired, &observed).map_err(plan_error)?;
        for action in &mut actions {
            self.prepare(&ops, &blueprints, action, progress).await?;
        }
        let handle = supervisor::begin(ops.clone(), blueprints, &actions).map_err(plan_error)?;
        let running = Running::new(ops, handle);
        running.settle().await?;
        Ok(running)
    }

    /// Takes away what this runtime has in the kernel: processes, interfaces, networks, packet rules. Containers, with their
    /// files and logs, stay for the next [`Runtime::up`].
    pub async fn halt(&self) -> Result<(), RuntimeError> {
        self.clear(false).await
    }

    /// Removes every container and network of this runtime, and its volumes when asked.
    pub async fn down(&self, volumes: bool) -> Result<(), RuntimeError> {
        self.clear(true).await?;
        if volumes {
            let folder = self.config.data.join("volumes");
            files::remove_folder(&folder).map_err(RuntimeError::io(&folder, "removing volumes"))?;
        }
        Ok(())
    }

    async fn clear(&self, records: bool) -> Result<(), RuntimeError> {
        let network = |source| RuntimeError::Network {
            container: "all".to_owned(),
            source,
        };
        let networks = Networks::open(&self.config, &[]).await.map_err(network)?;
        let ops = Ops::new(self.config.clone(), self.client.clone(), networks);
        for record in self.client.containers().await? {
            if !record.labels.contains_key(LABEL_PROJECT) {
                continue;
            }
            if records {
                ops.remove(&record.id).await?;
            } else {
                ops.clear_task(&record.id).await?;
            }
        }
        self.clear_looks()?;
        ops.networks.remove_all().await.map_err(network)
    }

    async fn blueprints(
        &self,
        project: &Project,
        folder: &Path,
        environment: &BTreeMap<String, String>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Blueprints, RuntimeError> {
        let name = project.name.as_ref().map_or(UNNAMED, |name| name.as_str());
        let context = Context {
            config: &self.config,
            project,
            name,
            folder,
            environment,
        };
        let mut all = Blueprints::new();
        let off = std::collections::BTreeSet::new();
        for service_name in project.enabled(&off) {
            let Some(service) = project.services.get(service_name) else {
                continue;
            };
            let reference = service.image.to_string();
            progress(Progress::Image {
                service: service_name.to_string(),
                image: reference.clone(),
            });
            let image = images::ensure(
                &self.client,
                &self.config.snapshotter,
                &service.image,
                &self.config.registries,
                &|event| {
                    progress(Progress::Fetching {
                        service: service_name.to_string(),
                        event,
                    });
                },
            )
            .await
            .map_err(|source| RuntimeError::Image {
                service: service_name.to_string(),
                image: reference.clone(),
                source: Box::new(source),
            })?;
            for blueprint in blueprint::build(&context, service_name.as_str(), service, &image)? {
                let digest = blueprint.desired().digest;
                all.insert(blueprint.id.clone(), (Arc::new(blueprint), digest));
            }
        }
        check_conditions(&all)?;
        Ok(all)
    }

    async fn networks(&self, project: &Project) -> Result<Networks, RuntimeError> {
        let mut wishes = Vec::new();
        for (name, network) in &project.networks {
            let failed = |source| RuntimeError::Network {
                container: format!("network {name}"),
                source,
            };
            let subnet = network
                .ipam
                .as_ref()
                .map(|ipam| ipam.subnet.to_string().parse())
                .transpose();
            wishes.push(NetworkWish {
                name: name.to_string(),
                internal: network.internal,
                subnet: subnet.map_err(failed)?,
            });
        }
        let failed = |source| RuntimeError::Network {
            container: "all".to_owned(),
            source,
        };
        Networks::open(&self.config, &wishes).await.map_err(failed)
    }

    /// Unmounts what a killed agent was looking at.
    fn clear_looks(&self) -> Result<(), RuntimeError> {
        let folder = self.config.look("");
        let Ok(entries) = std::fs::read_dir(&folder) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            rootfs::clear(&entry.path()).map_err(RuntimeError::io(entry.path(), "unmounting"))?;
        }
        Ok(())
    }

    /// Carries out what comes before supervision: removals and adoptions.
    async fn prepare(
        &self,
        ops: &Ops,
        blueprints: &Blueprints,
        action: &mut Action,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), RuntimeError> {
        match &*action {
            Action::Remove(id) => {
                progress(Progress::Removing {
                    container: id.clone(),
                });
                ops.remove(id).await?;
            }
            Action::Adopt(id, _) => {
                let Some((blueprint, _)) = blueprints.get(id) else {
                    return Ok(());
                };
                let joined = ops.adopt(blueprint).await?;
                let expected = match &blueprint.connection {
                    blueprint::Connection::Bridges(wishes) => wishes.joins.len(),
                    _ => 0,
                };
                if joined.len() == expected && joined.iter().all(|one| one.address.is_some()) {
                    progress(Progress::Adopted {
                        container: id.clone(),
                    });
                } else {
                    // Its addresses are not known any more: nobody could find it, and nobody could give them back.
                    *action = Action::Start(id.clone());
                }
            }
            Action::Start(id) | Action::Recreate(id) | Action::Create(id) => {
                progress(Progress::Making {
                    container: id.clone(),
                });
            }
            Action::AdoptExited(..) => {}
        }
        Ok(())
    }
}

/// A condition on health needs a check to wait for.
fn check_conditions(all: &Blueprints) -> Result<(), RuntimeError> {
    let blueprint = |id: &str| -> Option<&Blueprint> { all.get(id).map(|(blueprint, _)| &**blueprint) };
    for (one, _) in all.values() {
        for edge in &one.depends {
            let needs_check = edge.need == crate::engine::Need::Healthy;
            if needs_check && blueprint(&edge.on).is_some_and(|other| other.check.is_none()) {
                return Err(RuntimeError::Unsupported {
                    service: one.service.clone(),
                    what: "depends_on: condition service_healthy".to_owned(),
                    reason: format!(
                        "neither service nor image of {} has a health check; add one",
                        edge.on
                    ),
                });
            }
        }
    }
    Ok(())
}

fn plan_error(error: PlanError) -> RuntimeError {
    RuntimeError::Malformed {
        what: "project".to_owned(),
        expected: "dependencies without a cycle",
        got: error.to_string(),
    }
}
