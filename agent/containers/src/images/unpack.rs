//! Layers into snapshots, one over the other, by containerd's own differ. A layer whose unpacked bytes are not the ones the
//! configuration names is thrown away. How large a layer becomes is unknown before; the free space of the disk is watched
//! and the unpacking stopped before it is used up.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use compose_file::ImageDigest;
use containerd_client::services::v1::ApplyRequest;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::types::Mount;
use tonic::Code;
use tonic::transport::Channel;

use super::ImageEvent;
use super::ballast::Ballast;
use super::error::ImageError;
use super::manifest::{Descriptor, chain_ids};
use super::store::{Store, call, unique, wire};

const QUICK: Duration = Duration::from_secs(60);
/// A large layer on a slow disk.
const APPLY: Duration = Duration::from_secs(1800);
const LOOK: Duration = Duration::from_millis(100);

/// Where snapshots are made.
pub(crate) struct Unpack<'a> {
    pub(crate) store: &'a Store,
    pub(crate) snapshotter: &'a str,
    pub(crate) folders: &'a [PathBuf],
    pub(crate) ballast: &'a Ballast,
    pub(crate) reserve: u64,
    pub(crate) progress: &'a (dyn Fn(ImageEvent) + Send + Sync),
}

/// The least free space of the folders' disks; `None` when containerd's folders are not visible from here.
pub(crate) fn free_space(folders: &[PathBuf]) -> Option<u64> {
    let free = folders.iter().filter_map(|folder| {
        let disk = rustix::fs::statvfs(folder).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    });
    free.min()
}

impl Unpack<'_> {
    /// Whether the snapshot of an image's layers is there.
    pub(crate) async fn has(&self, chain: ImageDigest) -> Result<bool, ImageError> {
        let message = StatSnapshotRequest {
            snapshotter: self.snapshotter.to_owned(),
            key: chain.to_string(),
        };
        let answer = call(
            "stat snapshot",
            QUICK,
            self.snapshots().stat(self.store.request(message)),
        )
        .await?;
        Ok(answer.is_some())
    }

    /// Makes the snapshots that are missing; gives the name of the topmost.
    pub(crate) async fn all(
        &self,
        layers: &[Descriptor],
        unpacked: &[ImageDigest],
    ) -> Result<Option<ImageDigest>, ImageError> {
        let chain = chain_ids(unpacked);
        let mut parent: Option<ImageDigest> = None;
        for (index, ((layer, diff), name)) in layers.iter().zip(unpacked).zip(&chain).enumerate() {
            if self.has(*name).await? {
                let resource = format!("snapshots/{}", self.snapshotter);
                self.store.hold(&resource, &name.to_string()).await?;
            } else {
                (self.progress)(ImageEvent::Unpacking {
                    layer: index + 1,
                    layers: layers.len(),
                });
                self.layer(layer, *diff, parent, *name).await?;
            }
            parent = Some(*name);
        }
        Ok(parent)
    }

    async fn layer(
        &self,
        layer: &Descriptor,
        diff: ImageDigest,
        parent: Option<ImageDigest>,
        name: ImageDigest,
    ) -> Result<(), ImageError> {
        let key = format!("{} {name}", unique("kedge-unpack"));
        let message = PrepareSnapshotRequest {
            snapshotter: self.snapshotter.to_owned(),
            key: key.clone(),
            parent: parent.map(|parent| parent.to_string()).unwrap_or_default(),
            labels: HashMap::new(),
        };
        let prepared = call(
            "prepare snapshot",
            QUICK,
            self.snapshots().prepare(self.store.request(message)),
        )
        .await?;
        let mounts = prepared.map(|prepared| prepared.mounts).unwrap_or_default();
        let applied = match self.apply(layer, diff, mounts).await {
            Ok(()) => self.commit(&key, name).await,
            Err(error) => Err(error),
        };
        if !matches!(applied, Ok(true)) {
            if matches!(applied, Err(ImageError::NoSpace { .. })) {
                self.ballast.drop_all();
            }
            // The first error is the one to report.
            let _ = self.remove(&key).await;
        }
        applied.map(|_| ())
    }

    async fn apply(
        &self,
        layer: &Descriptor,
        diff: ImageDigest,
        mounts: Vec<Mount>,
    ) -> Result<(), ImageError> {
        let message = ApplyRequest {
            diff: Some(wire(layer)),
            mounts,
            payloads: HashMap::new(),
            sync_fs: false,
        };
        let mut client = DiffClient::new(self.store.client.channel());
        let applying = call("unpack layer", APPLY, client.apply(self.store.request(message)));
        let applied = tokio::select! {
            applied = applying => applied?,
            // Dropping the call is what stops containerd.
            full = self.watch(layer) => return Err(full),
        };
        let got = applied
            .and_then(|applied| applied.applied)
            .map(|applied| applied.digest);
        if got.as_deref() != Some(diff.to_string().as_str()) {
            return Err(ImageError::DigestMismatch {
                from: "the image's author".to_owned(),
                what: format!("the unpacked layer {}", layer.digest),
                expected: diff.to_string(),
                got: got.unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// Ends when the disk is about to be full.
    async fn watch(&self, layer: &Descriptor) -> ImageError {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(free) = free_space(self.folders).filter(|free| *free < self.reserve) {
                return ImageError::NoSpace {
                    what: format!("layer {}", layer.digest),
                    reason: format!(
                        "{free} bytes are free while it is unpacked, {} must stay free",
                        self.reserve
                    ),
                };
            }
        }
    }

    /// Whether this snapshot is the one with the name; another pull may have been first.
    async fn commit(&self, key: &str, name: ImageDigest) -> Result<bool, ImageError> {
        let message = CommitSnapshotRequest {
            snapshotter: self.snapshotter.to_owned(),
            name: name.to_string(),
            key: key.to_owned(),
            labels: HashMap::new(),
        };
        match call(
            "commit snapshot",
            QUICK,
            self.snapshots().commit(self.store.request(message)),
        )
        .await
        {
            Ok(_) => Ok(true),
            Err(ImageError::Refused {
                code: Code::AlreadyExists,
                ..
            }) => {
                let resource = format!("snapshots/{}", self.snapshotter);
                self.store.hold(&resource, &name.to_string()).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn remove(&self, key: &str) -> Result<(), ImageError> {
        let message = RemoveSnapshotRequest {
            snapshotter: self.snapshotter.to_owned(),
            key: key.to_owned(),
        };
        call(
            "remove snapshot",
            QUICK,
            self.snapshots().remove(self.store.request(message)),
        )
        .await?;
        Ok(())
    }

    fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.store.client.channel())
    }
}
