//! Several nodes of one KMS. A node that says no has spoken for all of them; one that cannot be asked, or whose answer does
//! not hold, is passed over for the next.

use crate::{
    Certificate, Described, Guest, Kms, LeafOrder, Lease, Released, RequestError, RetryPolicy, Rotation,
    Step, request::keys_from, request_certificate, request_lease, session::reach,
};
use futures::future::BoxFuture;
use kms_types::UnixTime;
use reqwest::Url;
use std::{
    fmt::Write,
    sync::atomic::{AtomicUsize, Ordering},
};
use td_quote::Td;

/// Most nodes of one KMS.
const MAX_NODES: usize = 16;

/// The nodes of one KMS.
#[derive(Debug)]
pub struct KmsPool {
    nodes: Vec<Url>,
    kms: Kms,
    retry: RetryPolicy,
    last_good: AtomicUsize,
}

/// A node that gave no answer, the last time it was asked.
#[derive(Debug)]
pub struct PoolFailure {
    /// Its address.
    pub node: Url,
    /// Why.
    pub error: RequestError,
}

/// Why no node gave an answer. "Denied" and "could not ask" are different variants.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The addresses are none.
    #[error("KMS addresses: expected {expected}, got {actual}")]
    Addresses {
        /// What they should be.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The KMS looked and said no.
    #[error("{node}")]
    Denied {
        /// The node that said it.
        node: Url,
        /// Its words.
        #[source]
        source: Box<RequestError>,
    },
    /// The fault is this guest's; nobody was asked.
    #[error("nothing was asked")]
    Local(#[source] Box<RequestError>),
    /// No node could be asked, or none gave an answer that holds.
    #[error("no node of the KMS answered: {}", list(.failures))]
    NoAnswer {
        /// Each node's last failure.
        failures: Vec<PoolFailure>,
    },
}

fn list(failures: &[PoolFailure]) -> String {
    let mut text = String::new();
    for failure in failures {
        let separator = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{separator}{}: {}", failure.node, failure.error);
    }
    text
}

impl PoolError {
    /// True when nothing was decided: asking again later may help.
    pub fn could_not_ask(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Local(error) => error.could_not_ask(),
            Self::Denied { .. } | Self::Addresses { .. } => false,
        }
    }

    /// The error behind it: the denial, the local fault, or the first node's that does not look like silence.
    pub fn request_error(&self) -> Option<&RequestError> {
        match self {
            Self::Denied { source, .. } | Self::Local(source) => Some(source.as_ref()),
            Self::NoAnswer { failures } => failures
                .iter()
                .find(|failure| !failure.error.could_not_ask())
                .or(failures.first())
                .map(|failure| &failure.error),
            Self::Addresses { .. } => None,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        self.request_error().map_or(
            "give the addresses of the KMS as https://HOST:PORT",
            RequestError::advice,
        )
    }
}

impl KmsPool {
    /// The nodes at `urls`, all of them `kms`.
    ///
    /// # Errors
    /// When there is none, too many, or one is no https address.
    pub fn new(urls: &[String], kms: Kms, retry: RetryPolicy) -> Result<Self, PoolError> {
        if urls.is_empty() || urls.len() > MAX_NODES {
            return Err(PoolError::Addresses {
                expected: format!("1 to {MAX_NODES}"),
                actual: urls.len().to_string(),
            });
        }
        let nodes = urls.iter().map(|text| match Url::parse(text) {
            Ok(url) if url.scheme() == "https" && url.has_host() => Ok(url),
            _ => Err(PoolError::Addresses {
                expected: "https://HOST:PORT".to_owned(),
                actual: text.chars().filter(|c| !c.is_control()).take(200).collect(),
            }),
        });
        Ok(Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            kms,
            retry,
            last_good: AtomicUsize::new(0),
        })
    }

    /// Whether the pinned KMS answers at each address: one challenge of each, nothing is left there and nothing asked twice.
    pub async fn reach(&self) -> Vec<(Url, Result<(), RequestError>)> {
        let mut answers = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            answers.push((node.clone(), reach(node, &self.kms).await));
        }
        answers
    }

    /// Keys for a guest that boots.
    ///
    /// # Errors
    /// When the KMS says no, or nobody answers.
    pub async fn keys(
        &self,
        guest: &Guest,
        described: &Described,
        td: &dyn Td,
    ) -> Result<Released, PoolError> {
        self.ask(|url| Box::pin(keys_from(url, &self.kms, guest, described, td)))
            .await
    }

    /// A lease for a guest that runs.
    ///
    /// # Errors
    /// When the KMS says no, or nobody answers.
    pub async fn lease(&self, guest: &Guest, described: &Described, td: &dyn Td) -> Result<Lease, PoolError> {
        self.ask(|url| Box::pin(request_lease(url, &self.kms, guest, described, td)))
            .await
    }

    /// A certificate for a guest that runs.
    ///
    /// # Errors
    /// When the KMS says no, or nobody answers.
    pub async fn certificate(
        &self,
        guest: &Guest,
        described: &Described,
        order: &LeafOrder<'_>,
        now: UnixTime,
        td: &dyn Td,
    ) -> Result<Certificate, PoolError> {
        self.ask(|url| {
            Box::pin(request_certificate(
                url, &self.kms, guest, described, order, now, td,
            ))
        })
        .await
    }

    async fn ask<'a, T>(
        &'a self,
        call: impl Fn(&'a Url) -> BoxFuture<'a, Result<T, RequestError>> + Send,
    ) -> Result<T, PoolError> {
        let first = self.last_good.load(Ordering::Relaxed);
        let mut rotation = Rotation::new(self.nodes.len(), first, self.retry);
        let mut failures: Vec<PoolFailure> = Vec::new();
        loop {
            let step = rotation.next(&mut rand::rng());
            let index = match step {
                Step::Ask(index) => index,
                Step::WaitThenAsk(pause, index) => {
                    tokio::time::sleep(pause).await;
                    index
                }
                Step::GiveUp => return Err(PoolError::NoAnswer { failures }),
            };
            let Some(node) = self.nodes.get(index) else {
                return Err(PoolError::NoAnswer { failures });
            };
            match call(node).await {
                Ok(answer) => {
                    self.last_good.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(source) if source.denied() => {
                    return Err(PoolError::Denied {
                        node: node.clone(),
                        source: Box::new(source),
                    });
                }
                Err(error) if error.is_local() => return Err(PoolError::Local(Box::new(error))),
                Err(error) => {
                    failures.retain(|failure| failure.node != *node);
                    failures.push(PoolFailure {
                        node: node.clone(),
                        error,
                    });
                }
            }
        }
    }
}
