//! Certificates of the app's TLS keys, from the KMS: each over evidence of the guest as it runs.
//!
//! Times an order names are passed on; the KMS gives none outside its own.

use crate::{
    events::now,
    lease::chain,
    socket::{CertificateIssuer, CertificateOrder, IssueError},
};
use async_trait::async_trait;
use kms_client::{Described, Guest, KmsPool, LeafOrder, PoolError};
use std::sync::Arc;
use td_quote::Td;

/// The KMS as the issuer.
pub(crate) struct KmsCertificates {
    /// Its nodes.
    pub(crate) pool: Arc<KmsPool>,
    /// This TD.
    pub(crate) td: Arc<dyn Td>,
    /// Proof that it is of its OS image.
    pub(crate) image_proof: Vec<u8>,
    /// What it cannot read from itself.
    pub(crate) described: Described,
}

#[async_trait]
impl CertificateIssuer for KmsCertificates {
    async fn issue(&self, order: CertificateOrder) -> Result<Vec<String>, IssueError> {
        let guest =
            Guest::running(&*self.td, self.image_proof.clone()).map_err(|error| IssueError::Unavailable {
                reason: chain(&error),
            })?;
        let leaf = LeafOrder {
            csr: &order.csr,
            not_before: order.not_before,
            not_after: order.not_after,
        };
        let given = self
            .pool
            .certificate(&guest, &self.described, &leaf, now(), &*self.td)
            .await;
        given
            .map(|certificate| certificate.chain)
            .map_err(|error| refusal(&error))
    }
}

fn refusal(error: &PoolError) -> IssueError {
    let reason = chain(error);
    match error {
        PoolError::Denied { .. } => IssueError::Denied { reason },
        PoolError::NoAnswer { failures }
            if !failures.is_empty() && failures.iter().all(|failure| failure.error.malformed()) =>
        {
            IssueError::Malformed { reason }
        }
        _ => IssueError::Unavailable { reason },
    }
}
