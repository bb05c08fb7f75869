//! Images on this machine: a reference becomes a configuration and unpacked layers in containerd.
//!
//! What an image is, its digest says: registries and mirrors are asked in order and believed only as far as the digest of what
//! they serve. Bytes go into containerd's content store under a lease, so that its garbage collector leaves them alone; the
//! name of the image is written last. An image that is complete here is used without asking anybody.
//!
//! Bounded: documents (4 MiB), entries of an index, indexes in a row, layers, compressed bytes, requests at once, tries, waits.
//! Not bounded in advance: how large a layer becomes when it is unpacked, since only unpacking tells; the unpacking is stopped
//! when the disk's free space falls under a reserve. Inodes are not counted.

pub mod auth;
mod ballast;
mod config;
pub mod credentials;
mod error;
mod fetch;
mod ingest;
pub mod manifest;
mod pull;
mod registry;
mod resolve;
mod source;
mod store;
mod unpack;

use std::path::Path;

use compose_file::{ImageDigest, ImageRef};

use crate::containerd::Containerd;
use crate::error::RuntimeError;
use crate::image::{Image, ImageHealth};
use manifest::ImageConfig;

pub use config::{Limits, PullPolicy, RegistryConfig};
pub use credentials::Credentials;
pub use error::ImageError;
pub use resolve::resolve;

/// An image that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyImage {
    /// Its reference, complete; also its name in containerd.
    pub reference: String,
    /// Digest of the manifest or index that the reference named.
    pub digest: ImageDigest,
    /// Snapshot that has all its layers.
    pub chain_id: ImageDigest,
    /// What it says about its process.
    pub config: ImageConfig,
}

/// Something to tell people while an image is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageEvent {
    /// The reference names this digest.
    Resolved {
        /// Digest of the manifest or index.
        digest: ImageDigest,
    },
    /// Bytes of a layer came.
    Fetched {
        /// The layer.
        layer: ImageDigest,
        /// Bytes that are here.
        done: u64,
        /// Bytes it has.
        total: u64,
    },
    /// A layer is being unpacked.
    Unpacking {
        /// Its place, from 1.
        layer: usize,
        /// How many there are.
        layers: usize,
    },
    /// A mirror or registry was given up; the next one is asked.
    SourceFailed {
        /// Its host.
        source: String,
        /// Why.
        reason: String,
    },
}

/// The images of one namespace of containerd.
#[derive(Debug, Clone)]
pub struct ImageStore {
    client: Containerd,
    snapshotter: String,
}

impl ImageStore {
    /// Connects to containerd and makes the namespace if it is not there.
    ///
    /// # Errors
    /// When containerd does not answer.
    pub async fn connect(socket: &Path, namespace: &str, snapshotter: &str) -> Result<Self, RuntimeError> {
        let client = Containerd::connect(socket, namespace, snapshotter).await?;
        Ok(Self {
            client,
            snapshotter: snapshotter.to_owned(),
        })
    }

    /// The image, complete and unpacked: from this machine, or fetched. A second call after a failure goes on where the first
    /// stopped; two at once share the work.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub async fn ensure(
        &self,
        image: &ImageRef,
        config: &RegistryConfig,
        progress: &(dyn Fn(ImageEvent) + Send + Sync),
    ) -> Result<ReadyImage, ImageError> {
        let store = store::Store::new(self.client.clone());
        let pull = pull::Pull {
            store: &store,
            snapshotter: &self.snapshotter,
            image,
            config,
            progress,
        };
        pull.run().await
    }
}

/// The image as the rest of the runtime wants it.
pub(crate) async fn ensure(
    client: &Containerd,
    snapshotter: &str,
    image: &ImageRef,
    config: &RegistryConfig,
    progress: &(dyn Fn(ImageEvent) + Send + Sync),
) -> Result<Image, ImageError> {
    let images = ImageStore {
        client: client.clone(),
        snapshotter: snapshotter.to_owned(),
    };
    Ok(images.ensure(image, config, progress).await?.into())
}

impl From<ReadyImage> for Image {
    fn from(ready: ReadyImage) -> Self {
        let config = ready.config;
        Self {
            reference: ready.reference,
            digest: ready.digest.to_string(),
            chain_id: ready.chain_id.to_string(),
            entrypoint: config.entrypoint,
            command: config.command,
            environment: config.environment,
            user: config.user,
            working_dir: config.working_dir,
            volumes: config.volumes,
            stop_signal: config.stop_signal,
            health: config.health.map(|health| ImageHealth {
                test: health.test,
                interval: health.interval,
                timeout: health.timeout,
                start_period: health.start_period,
                start_interval: health.start_interval,
                retries: health.retries,
            }),
        }
    }
}
