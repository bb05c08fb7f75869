//! Fetching layers: from the first source that has them and serves the right bytes, from where an earlier try stopped. A source
//! that serves other bytes is left for the next one; what it wrote is thrown away.

use std::collections::HashMap;

use compose_file::ImageDigest;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::ImageEvent;
use super::error::ImageError;
use super::ingest::{Committed, Ingest, Opened};
use super::manifest::Descriptor;
use super::registry::{Ask, Registries, Waits, describe};
use super::source::Source;
use super::store::Store;

/// Bytes between two reports.
const REPORT: u64 = 4 << 20;

/// What a fetch needs beside the blob.
pub(crate) struct Fetch<'a> {
    pub(crate) store: &'a Store,
    pub(crate) registries: &'a Registries<'a>,
    pub(crate) sources: &'a [Source],
    pub(crate) repository: &'a str,
    pub(crate) progress: &'a (dyn Fn(ImageEvent) + Send + Sync),
}

/// Why one try ended.
enum Stop {
    /// Goes on with the same source.
    Again(ImageError),
    /// Goes on with the next one.
    Next(ImageError),
}

impl Fetch<'_> {
    /// All blobs with their labels, several at once.
    pub(crate) async fn all(
        &self,
        blobs: Vec<(Descriptor, HashMap<String, String>)>,
    ) -> Result<(), ImageError> {
        let parallel = self.registries.config.limits.parallel.max(1);
        let mut fetches = Vec::with_capacity(blobs.len());
        for (blob, labels) in blobs {
            fetches.push(self.boxed(blob, labels));
        }
        stream::iter(fetches)
            .buffer_unordered(parallel)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    /// Boxed with one lifetime: callers hold the whole pull behind a trait that must be `Send`.
    fn boxed<'b>(
        &'b self,
        blob: Descriptor,
        labels: HashMap<String, String>,
    ) -> BoxFuture<'b, Result<(), ImageError>> {
        Box::pin(async move { self.blob(blob, labels).await })
    }

    async fn blob(&self, blob: Descriptor, labels: HashMap<String, String>) -> Result<(), ImageError> {
        let mut worst: Option<ImageError> = None;
        for source in self.sources {
            match self.from(source, &blob, &labels).await {
                Ok(()) => {
                    self.store.hold("content", &blob.digest.to_string()).await?;
                    return self.store.label(blob.digest, labels).await;
                }
                Err(Stop::Again(error) | Stop::Next(error)) => {
                    if !of_source(&error) {
                        return Err(error);
                    }
                    self.leave(source, &error);
                    worst = heavier(worst, error);
                }
            }
        }
        Err(worst.unwrap_or(ImageError::Setting {
            what: "registries",
            expected: "a place to ask",
            got: "none".to_owned(),
        }))
    }

    fn leave(&self, source: &Source, error: &ImageError) {
        tracing::warn!(source = %source.host, %error, "a source of images could not be used");
        (self.progress)(ImageEvent::SourceFailed {
            source: source.host.clone(),
            reason: error.to_string(),
        });
    }

    async fn from(
        &self,
        source: &Source,
        blob: &Descriptor,
        labels: &HashMap<String, String>,
    ) -> Result<(), Stop> {
        let mut wait = Waits::new(self.registries.config.limits.attempts);
        let mut reached = 0;
        loop {
            let (before, error) = match self.attempt(source, blob, labels).await {
                Ok(()) => return Ok(()),
                Err((offset, Stop::Again(error))) => (offset, error),
                Err((_, stop)) => return Err(stop),
            };
            // A source that sends a little each time is slow, not dead.
            if before > reached {
                reached = before;
                wait = Waits::new(self.registries.config.limits.attempts);
            }
            if !wait.again(None).await {
                return Err(Stop::Next(error));
            }
        }
    }

    /// One request and what it brings. An error comes with the bytes that are there by then.
    async fn attempt(
        &self,
        source: &Source,
        blob: &Descriptor,
        labels: &HashMap<String, String>,
    ) -> Result<(), (u64, Stop)> {
        let next = |error| (0, Stop::Next(error));
        let mut ingest = match Ingest::open(self.store, blob).await.map_err(next)? {
            Opened::Complete => return Ok(()),
            Opened::Ready(ingest) => ingest,
        };
        if ingest.offset > blob.size {
            ingest.restart();
        }
        let resumed = ingest.offset;
        let mut hash = (resumed == 0).then(Sha256::new);
        if ingest.offset < blob.size || blob.size == 0 {
            let path = format!("blobs/{}", blob.digest);
            let what = format!("layer {}", blob.digest);
            let ask = Ask {
                source,
                repository: self.repository,
                path: &path,
                what: &what,
            };
            let answer = self.registries.get(ask, resumed).await.map_err(next)?;
            if answer.status() == StatusCode::OK && resumed > 0 {
                ingest.restart();
                hash = Some(Sha256::new());
            }
            if let Err(stop) = self.copy(ask, answer, blob, &mut ingest, &mut hash).await {
                let offset = ingest.offset;
                if matches!(stop, Stop::Next(_)) {
                    ingest.abort().await.map_err(next)?;
                }
                return Err((offset, stop));
            }
        }
        let got = hash.map(|hash| ImageDigest::new(hash.finalize().into()));
        match ingest.commit(labels.clone()).await.map_err(next)? {
            Committed::Stored => Ok(()),
            Committed::OtherBytes => {
                let error = ImageError::DigestMismatch {
                    from: source.host.clone(),
                    what: "a layer".to_owned(),
                    expected: blob.digest.to_string(),
                    got: got.map_or_else(|| "other bytes".to_owned(), |got| got.to_string()),
                };
                // The first half may be of an earlier source: this one is asked for all of it before it is blamed.
                Err((
                    0,
                    if got.is_none() {
                        Stop::Again(error)
                    } else {
                        Stop::Next(error)
                    },
                ))
            }
        }
    }

    async fn copy(
        &self,
        ask: Ask<'_>,
        mut answer: Response,
        blob: &Descriptor,
        ingest: &mut Ingest<'_>,
        hash: &mut Option<Sha256>,
    ) -> Result<(), Stop> {
        let mut reported = ingest.offset;
        loop {
            let part = match answer.chunk().await {
                Ok(Some(part)) => part,
                Ok(None) => break,
                Err(error) => return Err(Stop::Again(ask.unreachable(describe(&error)))),
            };
            // Without this a registry fills the disk with one small layer.
            if ingest.offset + part.len() as u64 > blob.size {
                return Err(Stop::Next(ImageError::DigestMismatch {
                    from: ask.source.host.clone(),
                    what: "a layer".to_owned(),
                    expected: blob.digest.to_string(),
                    got: format!("more than its {} bytes", blob.size),
                }));
            }
            if let Some(hash) = hash {
                hash.update(&part);
            }
            ingest.write(&part).await.map_err(Stop::Next)?;
            if ingest.offset - reported >= REPORT || ingest.offset == blob.size {
                reported = ingest.offset;
                (self.progress)(ImageEvent::Fetched {
                    layer: blob.digest,
                    done: ingest.offset,
                    total: blob.size,
                });
            }
        }
        if ingest.offset < blob.size {
            let got = format!("it ended after {} of {} bytes", ingest.offset, blob.size);
            return Err(Stop::Again(ask.unreachable(got)));
        }
        Ok(())
    }
}

/// Whether another source may do better; containerd's troubles stay whoever is asked.
pub(crate) fn of_source(error: &ImageError) -> bool {
    matches!(
        error,
        ImageError::NotFound { .. }
            | ImageError::Denied { .. }
            | ImageError::Unreachable { .. }
            | ImageError::PlainHttp { .. }
            | ImageError::DigestMismatch { .. }
            | ImageError::TooLarge { .. }
            | ImageError::Malformed { .. }
    )
}

/// The failure that says more; of two alike the later, which is the registry's own.
pub(crate) fn heavier(one: Option<ImageError>, other: ImageError) -> Option<ImageError> {
    match one {
        Some(one) if one.weight() > other.weight() => Some(one),
        _ => Some(other),
    }
}
