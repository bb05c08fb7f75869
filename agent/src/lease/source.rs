//! Who gives leases: the KMS, through evidence of this guest as it runs.

use guest_disk::{Counter, DiskError};
use kms_client::{Described, Guest, KmsPool, PoolError};
use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use td_quote::Td;

/// What came of a request, for people too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseReply {
    /// A lease.
    Granted {
        /// How long it is.
        length: Duration,
        /// The token to show to others.
        token: String,
    },
    /// The KMS said no, or the disk is not the one this boot opened.
    Denied {
        /// The words.
        reason: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// Nobody could be asked, or no answer held.
    Silent {
        /// Who said what.
        reason: String,
        /// What to do about it.
        advice: &'static str,
    },
}

/// Where leases come from.
pub trait LeaseSource: Send + Sync + 'static {
    /// Asks for one.
    fn ask(&self) -> Pin<Box<dyn Future<Output = LeaseReply> + Send + '_>>;
}

/// The KMS.
pub struct KmsLeases {
    /// Its nodes.
    pub pool: Arc<KmsPool>,
    /// This TD.
    pub td: Arc<dyn Td>,
    /// Proof that it is of its OS image.
    pub image_proof: Vec<u8>,
    /// What it cannot read from itself.
    pub described: Described,
    /// The disk whose generation each lease reports; none where nothing requires it.
    pub disk: Option<Arc<Mutex<Counter>>>,
}

impl KmsLeases {
    /// What a request says, with the generation the disk has already.
    async fn described(&self) -> Result<Described, LeaseReply> {
        let Some(disk) = &self.disk else {
            return Ok(self.described.clone());
        };
        let disk = Arc::clone(disk);
        let counted = tokio::task::spawn_blocking(move || lock(&disk).report());
        // G4: on the disk first. A number the KMS has and the disk has not would lock the instance out of it.
        match counted.await {
            Ok(Ok(generation)) => Ok(Described {
                disk_generation: Some(generation),
                ..self.described.clone()
            }),
            Ok(Err(error)) => Err(uncounted(&error)),
            Err(error) => Err(LeaseReply::Silent {
                reason: error.to_string(),
                advice: "this is a fault of the agent",
            }),
        }
    }
}

/// A panic while counting leaves what it had: the marker is read anew each time.
fn lock(disk: &Mutex<Counter>) -> std::sync::MutexGuard<'_, Counter> {
    disk.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn uncounted(error: &DiskError) -> LeaseReply {
    let reason = format!("generation of the disk: {}", chain(error));
    if error.is_refusal() {
        let advice = "the disk was changed under the running machine; start it again with its newest disk";
        return LeaseReply::Denied { reason, advice };
    }
    let advice = "the data disk cannot be written; see what became of it on the host";
    LeaseReply::Silent { reason, advice }
}

impl LeaseSource for KmsLeases {
    fn ask(&self) -> Pin<Box<dyn Future<Output = LeaseReply> + Send + '_>> {
        Box::pin(async move {
            let described = match self.described().await {
                Ok(described) => described,
                Err(reply) => return reply,
            };
            let asked = async {
                let guest = Guest::running(&*self.td, self.image_proof.clone())
                    .map_err(|error| PoolError::Local(Box::new(error)))?;
                self.pool.lease(&guest, &described, &*self.td).await
            };
            match asked.await {
                Ok(lease) => {
                    if let Some(disk) = &self.disk {
                        lock(disk).given();
                    }
                    LeaseReply::Granted {
                        length: lease.length(),
                        token: lease.response.lease,
                    }
                }
                Err(error @ PoolError::Denied { .. }) => LeaseReply::Denied {
                    reason: chain(&error),
                    advice: error.advice(),
                },
                Err(error) => LeaseReply::Silent {
                    reason: chain(&error),
                    advice: error.advice(),
                },
            }
        })
    }
}

/// An error and everything under it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
