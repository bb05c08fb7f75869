//! Writing one blob into containerd's content store, from where an earlier try stopped. Nothing is visible under a digest
//! before containerd itself has hashed all of it.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use compose_file::ImageDigest;
use containerd_client::services::v1::{AbortRequest, WriteAction, WriteContentRequest, WriteContentResponse};
use futures::Stream;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

use super::error::ImageError;
use super::manifest::Descriptor;
use super::store::{Store, call};

const QUICK: Duration = Duration::from_secs(60);
/// Hashing a large blob that was written earlier takes its time.
const COMMIT: Duration = Duration::from_secs(600);
const LOCK_LOOK: Duration = Duration::from_millis(100);
/// Largest part of one message; containerd takes 16 MiB.
const PART: usize = 1024 * 1024;

/// A blob half written.
pub(crate) struct Ingest<'a> {
    store: &'a Store,
    blob: &'a Descriptor,
    name: String,
    messages: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
    /// Bytes that are there.
    pub(crate) offset: u64,
}

/// What opening gave.
pub(crate) enum Opened<'a> {
    /// The blob is complete in the store.
    Complete,
    /// It can be written.
    Ready(Box<Ingest<'a>>),
}

/// How a commit ended.
pub(crate) enum Committed {
    /// The blob is in the store.
    Stored,
    /// What was written is not what the digest names; it is gone.
    OtherBytes,
}

impl<'a> Ingest<'a> {
    /// Opens the blob for writing; waits while another pull writes it.
    pub(crate) async fn open(store: &'a Store, blob: &'a Descriptor) -> Result<Opened<'a>, ImageError> {
        loop {
            if store.info(blob.digest).await?.is_some() {
                return Ok(Opened::Complete);
            }
            match Self::try_open(store, blob).await {
                Ok(ingest) => return Ok(Opened::Ready(Box::new(ingest))),
                Err(status) if status.code() == Code::AlreadyExists => return Ok(Opened::Complete),
                Err(status) if is_locked(&status) => tokio::time::sleep(LOCK_LOOK).await,
                Err(status) => return Err(ImageError::of("write content", &status)),
            }
        }
    }

    async fn try_open(store: &'a Store, blob: &'a Descriptor) -> Result<Self, Status> {
        let (messages, outbox) = mpsc::channel(1);
        let name = format!("kedge-{}", blob.digest);
        let first = WriteContentRequest {
            action: WriteAction::Stat.into(),
            r#ref: name.clone(),
            total: i64::try_from(blob.size).unwrap_or(i64::MAX),
            expected: blob.digest.to_string(),
            ..WriteContentRequest::default()
        };
        let gone = || Status::unavailable("containerd closed the stream");
        messages.send(first).await.map_err(|_| gone())?;
        let mut content = store.content();
        let opening = async {
            let mut answers = content.write(store.request(Outgoing(outbox))).await?.into_inner();
            let answer = answers.message().await?.ok_or_else(gone)?;
            Ok::<_, Status>((answers, answer))
        };
        let (answers, answer) = tokio::time::timeout(QUICK, opening)
            .await
            .map_err(|_| Status::deadline_exceeded("no answer"))??;
        Ok(Self {
            store,
            blob,
            name,
            messages,
            answers,
            offset: u64::try_from(answer.offset).unwrap_or(0),
        })
    }

    /// Forgets what an earlier try wrote.
    pub(crate) fn restart(&mut self) {
        // containerd cuts what is there when a write names the beginning.
        self.offset = 0;
    }

    /// Appends bytes. The caller keeps within the blob's size.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        for part in bytes.chunks(PART) {
            let message = WriteContentRequest {
                action: WriteAction::Write.into(),
                offset: i64::try_from(self.offset).unwrap_or(i64::MAX),
                data: part.to_vec(),
                ..WriteContentRequest::default()
            };
            let answer = self.exchange(message, QUICK).await;
            answer.map_err(|status| ImageError::of("write content", &status))?;
            self.offset += part.len() as u64;
        }
        Ok(())
    }

    /// Ends the blob under its digest, with labels for the garbage collector.
    pub(crate) async fn commit(mut self, labels: HashMap<String, String>) -> Result<Committed, ImageError> {
        let message = WriteContentRequest {
            action: WriteAction::Commit.into(),
            total: i64::try_from(self.blob.size).unwrap_or(i64::MAX),
            expected: self.blob.digest.to_string(),
            offset: i64::try_from(self.offset).unwrap_or(i64::MAX),
            labels,
            ..WriteContentRequest::default()
        };
        match self.exchange(message, COMMIT).await {
            Ok(_) => Ok(Committed::Stored),
            Err(status) if status.code() == Code::AlreadyExists => Ok(Committed::Stored),
            // Size or digest are not the ones named.
            Err(status) if status.code() == Code::FailedPrecondition => {
                self.abort().await?;
                Ok(Committed::OtherBytes)
            }
            Err(status) => Err(ImageError::of("commit content", &status)),
        }
    }

    /// Throws away what was written.
    pub(crate) async fn abort(self) -> Result<(), ImageError> {
        let Self {
            store,
            name,
            messages,
            answers,
            ..
        } = self;
        drop((messages, answers));
        let message = AbortRequest { r#ref: name };
        call(
            "abort content",
            QUICK,
            store.content().abort(store.request(message)),
        )
        .await?;
        Ok(())
    }

    async fn exchange(
        &mut self,
        message: WriteContentRequest,
        limit: Duration,
    ) -> Result<WriteContentResponse, Status> {
        let gone = || Status::unavailable("containerd closed the stream");
        let exchange = async {
            // A closed stream has its reason in the answers.
            let sent = self.messages.send(message).await;
            match self.answers.message().await? {
                Some(answer) if sent.is_ok() => Ok(answer),
                _ => Err(gone()),
            }
        };
        tokio::time::timeout(limit, exchange)
            .await
            .map_err(|_| Status::deadline_exceeded("no answer"))?
    }
}

/// What is sent to containerd. A named type, so that the future of a pull stays `Send` for whoever boxes it.
struct Outgoing(mpsc::Receiver<WriteContentRequest>);

impl Stream for Outgoing {
    type Item = WriteContentRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

fn is_locked(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message().contains("locked")
}

/// Puts a small document into the store.
pub(crate) async fn put(
    store: &Store,
    blob: &Descriptor,
    bytes: &[u8],
    labels: HashMap<String, String>,
) -> Result<(), ImageError> {
    if let Opened::Ready(mut ingest) = Ingest::open(store, blob).await? {
        ingest.restart();
        ingest.write(bytes).await?;
        if let Committed::OtherBytes = ingest.commit(labels.clone()).await? {
            return Err(mismatch("containerd", blob.digest));
        }
    }
    store.hold("content", &blob.digest.to_string()).await?;
    // It may have been there without them.
    if !labels.is_empty() {
        store.label(blob.digest, labels).await?;
    }
    Ok(())
}

fn mismatch(from: &str, expected: ImageDigest) -> ImageError {
    ImageError::DigestMismatch {
        from: from.to_owned(),
        what: "a document".to_owned(),
        expected: expected.to_string(),
        got: "other bytes".to_owned(),
    }
}
