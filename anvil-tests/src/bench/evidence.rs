//! Requests made before they are fired, so that the load costs what sending costs.

use super::COMPOSE;
use crate::{AppSpec, Network};
use anyhow::{Context, Result};
use kms_client::{Described, Guest};
use kms_keys::OpeningKey;
use kms_types::AppId;
use kms_wire::ChallengeResponse;
use soft_td::SoftTd;
use std::sync::Arc;

/// A booted TD that makes requests.
pub(super) struct Requester {
    td: Arc<SoftTd>,
    guest: Guest,
    described: Described,
    key: OpeningKey,
}

impl Requester {
    /// Boots one for an app.
    pub(super) fn boot(network: &Network, app: AppId) -> Result<Self> {
        let spec = AppSpec::new(app, COMPOSE, "bench");
        let td = network.launch(&spec)?;
        Ok(Self {
            guest: Guest::of(td.as_ref(), network.catalogue())?,
            described: Described {
                instance_seed: spec.boot.instance_seed,
                ..Described::default()
            },
            key: OpeningKey::generate(&mut rand::rng())?,
            td,
        })
    }

    /// The body of one request.
    pub(super) fn body(&self, challenge: &[u8]) -> Result<Vec<u8>> {
        let challenge: ChallengeResponse = serde_json::from_slice(challenge).context("challenge")?;
        let (evidence, _) = self
            .guest
            .evidence(self.td.as_ref(), &challenge, &self.key, &self.described)?;
        Ok(serde_json::to_vec(&evidence)?)
    }
}
