//! Certificates of the app's TLS keys, from the KMS: each over evidence of the guest as it runs.
//!
//! How long one lives is the KMS's to say; times an order names are not passed on.

use crate::{
    events::now,
    lease::chain,
    socket::{CertificateIssuer, CertificateOrder, IssueError},
};
use async_trait::async_trait;
use kms_client::{Described, Guest, KmsPool, PoolError};
use kms_wire::ProblemCode;
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
        let given = self
            .pool
            .certificate(&guest, &self.described, &order.csr, now(), &*self.td)
            .await;
        given
            .map(|certificate| certificate.chain)
            .map_err(|error| refusal(&error))
    }
}

fn refusal(error: &PoolError) -> IssueError {
    let reason = chain(error);
    let code = error
        .request_error()
        .and_then(|error| error.problem())
        .map(|problem| problem.code);
    match (error, code) {
        (PoolError::Denied { .. }, Some(ProblemCode::Malformed | ProblemCode::TooLarge)) => {
            IssueError::Malformed { reason }
        }
        (PoolError::Denied { .. }, _) => IssueError::Denied { reason },
        _ => IssueError::Unavailable { reason },
    }
}
