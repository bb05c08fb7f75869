//! Who gives leases: the KMS, through evidence of this guest as it runs.

use kms_client::{Described, Guest, KmsPool, PoolError};
use std::{error::Error, future::Future, pin::Pin, sync::Arc, time::Duration};
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
    /// The KMS said no.
    Denied {
        /// Its words.
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
}

impl LeaseSource for KmsLeases {
    fn ask(&self) -> Pin<Box<dyn Future<Output = LeaseReply> + Send + '_>> {
        Box::pin(async move {
            let asked = async {
                let guest = Guest::running(&*self.td, self.image_proof.clone())
                    .map_err(|error| PoolError::Local(Box::new(error)))?;
                self.pool.lease(&guest, &self.described, &*self.td).await
            };
            match asked.await {
                Ok(lease) => LeaseReply::Granted {
                    length: lease.length(),
                    token: lease.response.lease,
                },
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
