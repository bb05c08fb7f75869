//! containerd's content store, image records and leases, narrowed to what a pull needs. What is read is checked against its
//! digest again; what is written is committed by containerd under the digest that was named, or not at all.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use compose_file::ImageDigest;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::introspection_client::IntrospectionClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{
    AddResourceRequest, CreateImageRequest, CreateRequest, DeleteRequest, GetImageRequest, Image as Record,
    Info, InfoRequest, PluginsRequest, ReadContentRequest, Resource, UpdateImageRequest, UpdateRequest,
};
use containerd_client::types::Descriptor as Target;
use prost_types::FieldMask;
use sha2::{Digest, Sha256};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status};

use super::error::ImageError;
use super::manifest::Descriptor;
use crate::containerd::Containerd;

/// Longest wait for an answer that moves no data.
const QUICK: Duration = Duration::from_secs(30);
/// How long containerd keeps what an interrupted pull left; longer than any pull.
const LEASE: Duration = Duration::from_secs(24 * 3600);

/// The store, under a lease once a pull holds one.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) client: Containerd,
    lease: Option<MetadataValue<Ascii>>,
}

/// Runs a call with a deadline and sorts its failure; `None` when there is no such thing.
pub(crate) async fn call<T>(
    name: &'static str,
    limit: Duration,
    future: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<Option<T>, ImageError> {
    match tokio::time::timeout(limit, future).await {
        Ok(Ok(answer)) => Ok(Some(answer.into_inner())),
        Ok(Err(status)) if status.code() == Code::NotFound => Ok(None),
        Ok(Err(status)) => Err(ImageError::of(name, &status)),
        Err(_) => Err(ImageError::Containerd {
            call: name,
            reason: format!("no answer in {limit:?}"),
        }),
    }
}

impl Store {
    pub(crate) fn new(client: Containerd) -> Self {
        Self { client, lease: None }
    }

    /// A request in the namespace and under the lease.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = self.client.request(message);
        if let Some(lease) = &self.lease {
            request.metadata_mut().insert("containerd-lease", lease.clone());
        }
        request
    }

    pub(crate) fn content(&self) -> ContentClient<tonic::transport::Channel> {
        ContentClient::new(self.client.channel())
    }

    /// The same store under a new lease: what is written or named through it is not collected while the lease lives.
    pub(crate) async fn leased(&self) -> Result<Self, ImageError> {
        let expires = SystemTime::now() + LEASE;
        let labels = HashMap::from([(
            "containerd.io/gc.expire".to_owned(),
            prost_types::Timestamp::from(expires).to_string(),
        )]);
        let id = unique("kedge-pull");
        let message = CreateRequest {
            id: id.clone(),
            labels,
        };
        let mut client = LeasesClient::new(self.client.channel());
        call("create lease", QUICK, client.create(self.request(message))).await?;
        let lease = MetadataValue::try_from(&id).map_err(|_| ImageError::Setting {
            what: "lease",
            expected: "printable ASCII",
            got: id,
        })?;
        Ok(Self {
            client: self.client.clone(),
            lease: Some(lease),
        })
    }

    /// Gives the lease up. With `collect` containerd removes at once what nothing else holds.
    pub(crate) async fn release(&self, collect: bool) -> Result<(), ImageError> {
        let Some(id) = self.lease_id() else { return Ok(()) };
        let message = DeleteRequest { id, sync: collect };
        let mut client = LeasesClient::new(self.client.channel());
        call(
            "delete lease",
            QUICK * 10,
            client.delete(self.client.request(message)),
        )
        .await?;
        Ok(())
    }

    fn lease_id(&self) -> Option<String> {
        Some(self.lease.as_ref()?.to_str().ok()?.to_owned())
    }

    /// Puts something that is there already under the lease.
    pub(crate) async fn hold(&self, kind: &str, id: &str) -> Result<(), ImageError> {
        let Some(lease) = self.lease_id() else {
            return Ok(());
        };
        let resource = Resource {
            id: id.to_owned(),
            r#type: kind.to_owned(),
        };
        let message = AddResourceRequest {
            id: lease,
            resource: Some(resource),
        };
        let mut client = LeasesClient::new(self.client.channel());
        call("add to lease", QUICK, client.add_resource(self.request(message))).await?;
        Ok(())
    }

    /// Size and labels of a blob, if it is there.
    pub(crate) async fn info(&self, digest: ImageDigest) -> Result<Option<Info>, ImageError> {
        let message = InfoRequest {
            digest: digest.to_string(),
        };
        let answer = call("content info", QUICK, self.content().info(self.request(message))).await?;
        Ok(answer.and_then(|answer| answer.info))
    }

    /// A small blob, if it is there and its bytes are what its digest says.
    pub(crate) async fn read(
        &self,
        digest: ImageDigest,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, ImageError> {
        let message = ReadContentRequest {
            digest: digest.to_string(),
            offset: 0,
            size: 0,
        };
        let Some(mut stream) =
            call("read content", QUICK, self.content().read(self.request(message))).await?
        else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        loop {
            let part = match stream.message().await {
                Ok(Some(part)) => part,
                Ok(None) => break,
                // The lookup is part of the stream.
                Err(status) if status.code() == Code::NotFound => return Ok(None),
                Err(status) => return Err(ImageError::of("read content", &status)),
            };
            if bytes.len() + part.data.len() > limit {
                return Err(ImageError::TooLarge {
                    what: format!("blob {digest}"),
                    limit: limit as u64,
                    got: (bytes.len() + part.data.len()) as u64,
                });
            }
            bytes.extend_from_slice(&part.data);
        }
        check("containerd's store", "a document", digest, &bytes)?;
        Ok(Some(bytes))
    }

    /// Adds labels to a blob.
    pub(crate) async fn label(
        &self,
        digest: ImageDigest,
        labels: HashMap<String, String>,
    ) -> Result<(), ImageError> {
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let info = Info {
            digest: digest.to_string(),
            labels,
            ..Info::default()
        };
        let message = UpdateRequest {
            info: Some(info),
            update_mask: Some(FieldMask { paths }),
        };
        call(
            "label content",
            QUICK,
            self.content().update(self.request(message)),
        )
        .await?;
        Ok(())
    }

    /// What an image record points at.
    pub(crate) async fn target(&self, name: &str) -> Result<Option<Target>, ImageError> {
        let message = GetImageRequest {
            name: name.to_owned(),
        };
        let mut client = ImagesClient::new(self.client.channel());
        let answer = call("get image", QUICK, client.get(self.request(message))).await?;
        Ok(answer.and_then(|answer| answer.image?.target))
    }

    /// Makes an image record, or points it at something else. Last step of a pull: what it names is complete.
    pub(crate) async fn name(&self, name: &str, target: &Descriptor) -> Result<(), ImageError> {
        let record = Record {
            name: name.to_owned(),
            target: Some(wire(target)),
            ..Record::default()
        };
        let mut client = ImagesClient::new(self.client.channel());
        let create = CreateImageRequest {
            image: Some(record.clone()),
            source_date_epoch: None,
        };
        match call("create image", QUICK, client.create(self.request(create))).await {
            Err(ImageError::Refused {
                code: Code::AlreadyExists,
                ..
            }) => {}
            other => return other.map(|_| ()),
        }
        let update = UpdateImageRequest {
            image: Some(record),
            update_mask: Some(FieldMask {
                paths: vec!["target".to_owned()],
            }),
            source_date_epoch: None,
        };
        call("update image", QUICK, client.update(self.request(update))).await?;
        Ok(())
    }

    /// Folders in which containerd keeps blobs and snapshots.
    pub(crate) async fn folders(&self, snapshotter: &str) -> Result<Vec<PathBuf>, ImageError> {
        let message = PluginsRequest { filters: Vec::new() };
        let mut client = IntrospectionClient::new(self.client.channel());
        let answer = call("list plugins", QUICK, client.plugins(self.request(message))).await?;
        let plugins = answer.map(|answer| answer.plugins).unwrap_or_default();
        let ours = plugins.into_iter().filter(|plugin| {
            plugin.r#type == "io.containerd.content.v1"
                || (plugin.r#type == "io.containerd.snapshotter.v1" && plugin.id == snapshotter)
        });
        Ok(ours
            .filter_map(|plugin| plugin.exports.get("root").map(PathBuf::from))
            .collect())
    }
}

/// The form containerd's messages have.
pub(crate) fn wire(descriptor: &Descriptor) -> Target {
    Target {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.to_string(),
        size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
        annotations: HashMap::new(),
    }
}

/// Refuses bytes that are not what a digest names.
pub(crate) fn check(from: &str, what: &str, expected: ImageDigest, bytes: &[u8]) -> Result<(), ImageError> {
    let got = ImageDigest::new(Sha256::digest(bytes).into());
    if got != expected {
        return Err(ImageError::DigestMismatch {
            from: from.to_owned(),
            what: what.to_owned(),
            expected: expected.to_string(),
            got: got.to_string(),
        });
    }
    Ok(())
}

/// A name nobody else uses: this process, its start and a count.
pub(crate) fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{prefix}-{}-{}-{count}", std::process::id(), now.as_nanos())
}
