//! One image from a reference to a snapshot. Order: who may be asked, the documents, the layers, the snapshots, the name. The
//! name comes last, so whatever a stopped pull leaves behind is never taken for an image.

use std::collections::HashMap;

use compose_file::{ImageDigest, ImageRef};
use sha2::{Digest, Sha256};

use super::ballast::Ballast;
use super::config::{PullPolicy, RegistryConfig};
use super::error::ImageError;
use super::fetch::{Fetch, heavier, of_source};
use super::ingest::put;
use super::manifest::{Descriptor, Document, ImageConfig, MAX_DOCUMENT};
use super::registry::{Ask, Registries};
use super::source::{Source, sources, tag_sources};
use super::store::{Store, check};
use super::unpack::{Unpack, free_space};
use super::{ImageEvent, ReadyImage};

/// Indexes on the way to a manifest. Digests cannot form a circle, but a chain can be as long as its author likes.
const MAX_NESTING: usize = 2;
const REF: &str = "containerd.io/gc.ref.content";

/// Everything one pull works with.
pub(crate) struct Pull<'a> {
    pub(crate) store: &'a Store,
    pub(crate) snapshotter: &'a str,
    pub(crate) image: &'a ImageRef,
    pub(crate) config: &'a RegistryConfig,
    pub(crate) progress: &'a (dyn Fn(ImageEvent) + Send + Sync),
}

/// The documents of an image, from the one the reference names to the manifest.
struct Documents {
    /// Descriptor, bytes and what each points at.
    path: Vec<(Descriptor, Vec<u8>)>,
    config: Descriptor,
    config_bytes: Vec<u8>,
    layers: Vec<Descriptor>,
    parsed: ImageConfig,
}

impl Pull<'_> {
    /// The image, from this machine if it may be, else from a registry.
    pub(crate) async fn run(&self) -> Result<ReadyImage, ImageError> {
        // G6: a tag can be moved to another image after the app's manifest was measured.
        if self.image.is_mutable() && !self.config.allow_mutable {
            return Err(ImageError::NotPinned {
                image: self.image.to_string(),
            });
        }
        if let Some(ready) = self.local().await? {
            return Ok(ready);
        }
        let leased = self.store.leased().await?;
        let this = Pull {
            store: &leased,
            ..*self
        };
        let ballast = Ballast::default();
        let result = this.fetch(&ballast).await;
        // What is there stays for the next try, unless it is what fills the disk.
        match &result {
            Ok(_) => leased.release(false).await?,
            Err(ImageError::NoSpace { .. }) => {
                ballast.drop_all();
                if let Err(error) = leased.release(true).await {
                    tracing::warn!(image = %self.image, %error, "what was pulled of it still fills the disk");
                }
            }
            Err(_) => {}
        }
        result
    }

    /// The image if it is complete on this machine and nobody needs to be asked.
    async fn local(&self) -> Result<Option<ReadyImage>, ImageError> {
        let name = self.image.to_string();
        if self.image.is_mutable() && self.config.policy == PullPolicy::Always {
            return Ok(None);
        }
        let Some(target) = self.store.target(&name).await? else {
            return Ok(None);
        };
        let Ok(digest) = target.digest.parse::<ImageDigest>() else {
            return Ok(None);
        };
        // A record can be pointed anywhere; only the digest says what the image is.
        if self.image.digest().is_some_and(|pinned| pinned != digest) {
            return Ok(None);
        }
        let Some(documents) = self.stored_documents(digest).await? else {
            return Ok(None);
        };
        let Some(chain) = documents.parsed.chain_id() else {
            return Ok(None);
        };
        let ballast = Ballast::default();
        let unpack = self.unpack(&[], &ballast);
        Ok(unpack
            .has(chain)
            .await?
            .then(|| documents.ready(self.image, digest, chain)))
    }

    /// The documents of an image when all of them are stored.
    async fn stored_documents(&self, digest: ImageDigest) -> Result<Option<Documents>, ImageError> {
        let mut path = Vec::new();
        let mut digest = digest;
        loop {
            let Some(bytes) = self.store.read(digest, MAX_DOCUMENT).await? else {
                return Ok(None);
            };
            let document = self.parse(&bytes)?;
            path.push((describe(digest, &document, &bytes), bytes));
            match document {
                Document::Index { chosen, .. } => digest = self.deeper(&path, chosen)?.digest,
                Document::Manifest { config, layers, .. } => {
                    let Some(config_bytes) = self.store.read(config.digest, MAX_DOCUMENT).await? else {
                        return Ok(None);
                    };
                    return self.documents(path, config, config_bytes, layers).map(Some);
                }
            }
        }
    }

    async fn fetch(&self, ballast: &Ballast) -> Result<ReadyImage, ImageError> {
        let registries = Registries::new(self.config)?;
        let sources = sources(self.image.registry(), self.config)?;
        let documents = self.fetch_documents(&registries, &sources).await?;
        let (root, _) = documents.path.first().ok_or_else(|| self.nesting())?;
        let root = root.clone();
        self.bounds(&documents)?;
        let folders = self.store.folders(self.snapshotter).await?;
        let missing = self.missing(&documents).await?;
        self.room(&folders, &missing)?;
        ballast.hold(&folders);
        self.put_documents(&documents).await?;
        let fetch = Fetch {
            store: self.store,
            registries: &registries,
            sources: &sources,
            repository: self.image.repository(),
            progress: self.progress,
        };
        fetch.all(missing).await?;
        let unpack = self.unpack(&folders, ballast);
        let chain = unpack.all(&documents.layers, &documents.parsed.layers).await?;
        let chain = chain.ok_or_else(|| self.nesting())?;
        let reference = format!("containerd.io/gc.ref.snapshot.{}", self.snapshotter);
        let label = HashMap::from([(reference, chain.to_string())]);
        self.store.label(documents.config.digest, label).await?;
        self.store.name(&self.image.to_string(), &root).await?;
        Ok(documents.ready(self.image, root.digest, chain))
    }

    async fn fetch_documents(
        &self,
        registries: &Registries<'_>,
        all: &[Source],
    ) -> Result<Documents, ImageError> {
        let mut path: Vec<(Descriptor, Vec<u8>)> = Vec::new();
        let mut wanted = self.image.digest();
        loop {
            let bytes = self.document(registries, all, wanted).await?;
            let digest = ImageDigest::new(Sha256::digest(&bytes).into());
            if path.is_empty() {
                (self.progress)(ImageEvent::Resolved { digest });
            }
            let document = self.parse(&bytes)?;
            path.push((describe(digest, &document, &bytes), bytes));
            match document {
                Document::Index { chosen, .. } => wanted = Some(self.deeper(&path, chosen)?.digest),
                Document::Manifest { config, layers, .. } => {
                    let bytes = self.config_bytes(registries, all, &config).await?;
                    return self.documents(path, config, bytes, layers);
                }
            }
        }
    }

    /// A manifest or index: by digest from the store or any source, by tag from whom may answer tags.
    async fn document(
        &self,
        registries: &Registries<'_>,
        all: &[Source],
        digest: Option<ImageDigest>,
    ) -> Result<Vec<u8>, ImageError> {
        let Some(digest) = digest else {
            let tag = self.image.tag().unwrap_or("latest");
            let sources = tag_sources(self.image.registry(), self.config)?;
            let what = format!("{}:{tag}", self.image.repository());
            return self
                .ask(registries, &sources, &format!("manifests/{tag}"), &what, None)
                .await;
        };
        if let Some(bytes) = self.store.read(digest, MAX_DOCUMENT).await? {
            return Ok(bytes);
        }
        let what = format!("{}@{digest}", self.image.repository());
        self.ask(
            registries,
            all,
            &format!("manifests/{digest}"),
            &what,
            Some(digest),
        )
        .await
    }

    async fn config_bytes(
        &self,
        registries: &Registries<'_>,
        all: &[Source],
        config: &Descriptor,
    ) -> Result<Vec<u8>, ImageError> {
        if let Some(bytes) = self.store.read(config.digest, MAX_DOCUMENT).await? {
            return Ok(bytes);
        }
        let what = format!("configuration {}", config.digest);
        self.ask(
            registries,
            all,
            &format!("blobs/{}", config.digest),
            &what,
            Some(config.digest),
        )
        .await
    }

    async fn ask(
        &self,
        registries: &Registries<'_>,
        sources: &[Source],
        path: &str,
        what: &str,
        digest: Option<ImageDigest>,
    ) -> Result<Vec<u8>, ImageError> {
        let mut worst = None;
        for source in sources {
            let ask = Ask {
                source,
                repository: self.image.repository(),
                path,
                what,
            };
            let answer = registries.manifest(ask).await.and_then(|bytes| match digest {
                Some(digest) => check(&source.host, what, digest, &bytes).map(|()| bytes),
                None => Ok(bytes),
            });
            match answer {
                Ok(bytes) => return Ok(bytes),
                Err(error) if !of_source(&error) => return Err(error),
                Err(error) => {
                    (self.progress)(ImageEvent::SourceFailed {
                        source: source.host.clone(),
                        reason: error.to_string(),
                    });
                    worst = heavier(worst, error);
                }
            }
        }
        Err(worst.unwrap_or_else(|| self.nesting()))
    }

    fn parse(&self, bytes: &[u8]) -> Result<Document, ImageError> {
        Document::parse(bytes).map_err(|source| ImageError::Malformed {
            image: self.image.to_string(),
            what: "manifest".to_owned(),
            source,
        })
    }

    fn deeper(&self, path: &[(Descriptor, Vec<u8>)], chosen: Descriptor) -> Result<Descriptor, ImageError> {
        if path.len() > MAX_NESTING {
            return Err(self.nesting());
        }
        Ok(chosen)
    }

    fn nesting(&self) -> ImageError {
        ImageError::TooLarge {
            what: format!("{}: indexes on the way to its manifest", self.image),
            limit: MAX_NESTING as u64,
            got: MAX_NESTING as u64 + 1,
        }
    }

    fn documents(
        &self,
        path: Vec<(Descriptor, Vec<u8>)>,
        config: Descriptor,
        config_bytes: Vec<u8>,
        layers: Vec<Descriptor>,
    ) -> Result<Documents, ImageError> {
        let parsed =
            ImageConfig::parse(&config_bytes, layers.len()).map_err(|source| ImageError::Malformed {
                image: self.image.to_string(),
                what: "configuration".to_owned(),
                source,
            })?;
        Ok(Documents {
            path,
            config,
            config_bytes,
            layers,
            parsed,
        })
    }

    fn bounds(&self, documents: &Documents) -> Result<(), ImageError> {
        let over = |what: &str, limit: u64, got: u64| ImageError::TooLarge {
            what: format!("{} of {}", what, self.image),
            limit,
            got,
        };
        let limits = &self.config.limits;
        if documents.layers.len() > limits.layers {
            return Err(over(
                "layers",
                limits.layers as u64,
                documents.layers.len() as u64,
            ));
        }
        let sizes = documents.layers.iter().map(|layer| layer.size);
        let total = sizes.fold(0_u64, u64::saturating_add);
        if total > limits.compressed {
            return Err(over("compressed bytes", limits.compressed, total));
        }
        Ok(())
    }

    /// Layers whose bytes are not here, each once, with the labels they get.
    async fn missing(
        &self,
        documents: &Documents,
    ) -> Result<Vec<(Descriptor, HashMap<String, String>)>, ImageError> {
        let mut missing: Vec<(Descriptor, HashMap<String, String>)> = Vec::new();
        for (layer, diff) in documents.layers.iter().zip(&documents.parsed.layers) {
            if missing.iter().any(|(known, _)| known.digest == layer.digest) {
                continue;
            }
            if self.store.info(layer.digest).await?.is_some() {
                self.store.hold("content", &layer.digest.to_string()).await?;
                continue;
            }
            let label = ("containerd.io/uncompressed".to_owned(), diff.to_string());
            missing.push((layer.clone(), HashMap::from([label])));
        }
        Ok(missing)
    }

    /// Refuses a pull that cannot fit: the compressed layers stay beside what they unpack to, which is at least as large.
    fn room(
        &self,
        folders: &[std::path::PathBuf],
        missing: &[(Descriptor, HashMap<String, String>)],
    ) -> Result<(), ImageError> {
        let sizes = missing.iter().map(|(layer, _)| layer.size);
        let total = sizes.fold(0_u64, u64::saturating_add);
        if total == 0 {
            return Ok(());
        }
        let needed = total.saturating_mul(2).saturating_add(self.config.limits.reserve);
        match free_space(folders) {
            Some(free) if free < needed => Err(ImageError::NoSpace {
                what: self.image.to_string(),
                reason: format!("{needed} bytes are needed at least, {free} are free"),
            }),
            _ => Ok(()),
        }
    }

    /// Stores the documents from the innermost out, each naming what it holds for the garbage collector.
    async fn put_documents(&self, documents: &Documents) -> Result<(), ImageError> {
        put(
            self.store,
            &documents.config,
            &documents.config_bytes,
            HashMap::new(),
        )
        .await?;
        let mut held: HashMap<String, String> = documents
            .layers
            .iter()
            .enumerate()
            .map(|(index, layer)| (format!("{REF}.l.{index}"), layer.digest.to_string()))
            .collect();
        held.insert(format!("{REF}.config"), documents.config.digest.to_string());
        for (descriptor, bytes) in documents.path.iter().rev() {
            put(self.store, descriptor, bytes, held).await?;
            held = HashMap::from([(format!("{REF}.m.0"), descriptor.digest.to_string())]);
        }
        Ok(())
    }

    fn unpack<'b>(&'b self, folders: &'b [std::path::PathBuf], ballast: &'b Ballast) -> Unpack<'b> {
        Unpack {
            store: self.store,
            snapshotter: self.snapshotter,
            folders,
            ballast,
            reserve: self.config.limits.reserve,
            progress: self.progress,
        }
    }
}

impl Documents {
    fn ready(&self, image: &ImageRef, digest: ImageDigest, chain_id: ImageDigest) -> ReadyImage {
        ReadyImage {
            reference: image.to_string(),
            digest,
            chain_id,
            config: self.parsed.clone(),
        }
    }
}

fn describe(digest: ImageDigest, document: &Document, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: document.media_type().to_owned(),
        digest,
        size: bytes.len() as u64,
    }
}
