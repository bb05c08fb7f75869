//! Container records and snapshots. A snapshot is marked so that garbage collection leaves it alone between its making and
//! the record that refers to it.

use std::collections::HashMap;

use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{
    MountsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::services::v1::{
    Container, CreateContainerRequest, DeleteContainerRequest, GetContainerRequest, ListContainersRequest,
    UpdateContainerRequest,
};
use containerd_client::types::Mount;
use prost_types::{Any, FieldMask};
use tonic::Code;

use super::{Containerd, QUICK, SLOW, accept, deadline};
use crate::error::RuntimeError;

/// Type of an OCI runtime spec inside containerd's messages.
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const RUNTIME: &str = "io.containerd.runc.v2";
const GC_ROOT: &str = "containerd.io/gc.root";

/// A container as containerd keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) image: String,
    pub(crate) labels: HashMap<String, String>,
    /// The OCI spec as JSON.
    pub(crate) spec: Vec<u8>,
    pub(crate) snapshot: String,
}

impl Containerd {
    /// Containers of the namespace.
    pub(crate) async fn containers(&self) -> Result<Vec<Record>, RuntimeError> {
        let mut client = ContainersClient::new(self.channel());
        let request = self.request(ListContainersRequest { filters: Vec::new() });
        let answer = deadline("list containers", QUICK, client.list(request)).await?;
        Ok(answer.into_inner().containers.into_iter().map(record).collect())
    }

    /// One container, if it is there.
    pub(crate) async fn container(&self, id: &str) -> Result<Option<Record>, RuntimeError> {
        let mut client = ContainersClient::new(self.channel());
        let request = self.request(GetContainerRequest { id: id.to_owned() });
        let answer = accept(
            deadline("get container", QUICK, client.get(request)).await,
            Code::NotFound,
        )?;
        Ok(answer
            .and_then(|answer| answer.into_inner().container)
            .map(record))
    }

    /// Makes a container record.
    pub(crate) async fn create_container(&self, record: &Record) -> Result<(), RuntimeError> {
        let container = Container {
            id: record.id.clone(),
            labels: record.labels.clone(),
            image: record.image.clone(),
            runtime: Some(Runtime {
                name: RUNTIME.to_owned(),
                options: None,
            }),
            spec: Some(spec_any(&record.spec)),
            snapshotter: self.snapshotter.clone(),
            snapshot_key: record.snapshot.clone(),
            ..Container::default()
        };
        let mut client = ContainersClient::new(self.channel());
        let request = self.request(CreateContainerRequest {
            container: Some(container),
        });
        deadline("create container", QUICK, client.create(request)).await?;
        Ok(())
    }

    /// Replaces the spec of a container; its next task uses it.
    pub(crate) async fn update_spec(&self, id: &str, spec: &[u8]) -> Result<(), RuntimeError> {
        let container = Container {
            id: id.to_owned(),
            spec: Some(spec_any(spec)),
            ..Container::default()
        };
        let mask = FieldMask {
            paths: vec!["spec".to_owned()],
        };
        let mut client = ContainersClient::new(self.channel());
        let request = self.request(UpdateContainerRequest {
            container: Some(container),
            update_mask: Some(mask),
        });
        deadline("update container", QUICK, client.update(request)).await?;
        Ok(())
    }

    /// Removes a container record; one that is not there is fine.
    pub(crate) async fn delete_container(&self, id: &str) -> Result<(), RuntimeError> {
        let mut client = ContainersClient::new(self.channel());
        let request = self.request(DeleteContainerRequest { id: id.to_owned() });
        accept(
            deadline("delete container", QUICK, client.delete(request)).await,
            Code::NotFound,
        )?;
        Ok(())
    }

    /// A writable snapshot over an image; one that is already there is kept.
    pub(crate) async fn prepare_snapshot(&self, key: &str, parent: &str) -> Result<Vec<Mount>, RuntimeError> {
        let mut labels = HashMap::new();
        labels.insert(GC_ROOT.to_owned(), "kept for a container".to_owned());
        let message = PrepareSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels,
        };
        let mut client = SnapshotsClient::new(self.channel());
        let request = self.request(message);
        let answer = accept(
            deadline("prepare snapshot", SLOW, client.prepare(request)).await,
            Code::AlreadyExists,
        )?;
        match answer {
            Some(answer) => Ok(answer.into_inner().mounts),
            None => self.snapshot_mounts(key).await,
        }
    }

    /// How to mount a snapshot.
    pub(crate) async fn snapshot_mounts(&self, key: &str) -> Result<Vec<Mount>, RuntimeError> {
        let message = MountsRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.to_owned(),
        };
        let mut client = SnapshotsClient::new(self.channel());
        let answer = deadline("snapshot mounts", QUICK, client.mounts(self.request(message))).await?;
        Ok(answer.into_inner().mounts)
    }

    /// Whether a snapshot is there.
    pub(crate) async fn has_snapshot(&self, key: &str) -> Result<bool, RuntimeError> {
        let message = StatSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.to_owned(),
        };
        let mut client = SnapshotsClient::new(self.channel());
        let answer = deadline("stat snapshot", QUICK, client.stat(self.request(message))).await;
        Ok(accept(answer, Code::NotFound)?.is_some())
    }

    /// Removes a snapshot; one that is not there is fine.
    pub(crate) async fn remove_snapshot(&self, key: &str) -> Result<(), RuntimeError> {
        let message = RemoveSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.to_owned(),
        };
        let mut client = SnapshotsClient::new(self.channel());
        let answer = deadline("remove snapshot", SLOW, client.remove(self.request(message))).await;
        accept(answer, Code::NotFound)?;
        Ok(())
    }
}

fn spec_any(json: &[u8]) -> Any {
    Any {
        type_url: SPEC_TYPE.to_owned(),
        value: json.to_vec(),
    }
}

fn record(container: Container) -> Record {
    Record {
        id: container.id,
        image: container.image,
        labels: container.labels,
        spec: container.spec.map(|any| any.value).unwrap_or_default(),
        snapshot: container.snapshot_key,
    }
}
