//! The order of a release: cheap checks, challenge, collateral, quote, boot, limit of the platform, decision,
//! limit of the app, log, answer.
//!
//! Nothing expensive runs before the cheap checks, nothing is released before the log has it, and a revocation that is
//! seen while the log is written still wins.

use crate::{app::App, collateral::CollateralKey, http::ApiError, metrics::Stage};
use attestation::{AttestationError, Mismatch, QuoteDescription, TrustRoots};
use authority_bridge::{NetworkState, Subject};
use kms_keys::EpochKeys;
use kms_protocol::{FreshChallenge, Purpose, Refusal, VerifiedEvidence, allowed, check_bounds};
use kms_types::{AppId, BootRecord, UnixTime};
use kms_wire::{Decision, Evidence, LogPosition, ProblemCode};
use std::{sync::Arc, time::Instant};

/// A release that is decided and in the log: the answer may be made.
pub(crate) struct Granted {
    pub(crate) evidence: VerifiedEvidence,
    pub(crate) decision: Decision,
    pub(crate) log: LogPosition,
    pub(crate) gateway_app_id: AppId,
    pub(crate) now: UnixTime,
}

/// What was settled before the quote is looked at.
struct Prepared {
    now: UnixTime,
    challenge: FreshChallenge,
    network: NetworkState,
    keys: Arc<EpochKeys>,
    own: Arc<BootRecord>,
}

impl App {
    /// Takes a request from evidence to a logged grant.
    pub(crate) async fn grant(
        self: &Arc<Self>,
        evidence: Arc<Evidence>,
        purpose: Purpose,
    ) -> Result<Granted, ApiError> {
        let prepared = self.prepare(&evidence, purpose).await?;
        let own = Arc::clone(&prepared.own);
        let gateway_app_id = gateway(&prepared.network);
        let verified = self.verify(&evidence, purpose, prepared).await?;
        let info = &verified.record().info;
        self.limits.device(&info.device_id)?;
        // Q7: by the time now, not the time the request came: what expired meanwhile may have been forgotten by the set.
        let now = self.now()?;
        self.challenges
            .spend(verified.challenge(), now)
            .map_err(Refusal::from)?;
        let mut at = Instant::now();
        let decision = self.decide(&own, verified.record()).await?;
        self.limits.app(&info.app_id)?;
        self.metrics.stage(Stage::Decide, &mut at);
        // K7: the answer is made from the position this returns.
        let log = self
            .log
            .append(verified.log_entry(decision.head.block_ref(), now))
            .await?;
        self.metrics.stage(Stage::Log, &mut at);
        // C4: the chain may have moved while the disk was written; what it revoked meanwhile is not released.
        if self.authority.status().head != Some(decision.head) {
            self.decide(&own, verified.record()).await?;
        }
        Ok(Granted {
            evidence: verified,
            decision,
            log,
            gateway_app_id,
            now,
        })
    }

    async fn prepare(&self, evidence: &Evidence, purpose: Purpose) -> Result<Prepared, ApiError> {
        check_bounds(evidence, purpose)?;
        if self.is_draining() {
            return Err(ApiError::new(
                ProblemCode::Busy,
                "the node is stopping; ask another",
            ));
        }
        let now = self.now()?;
        let challenge = self
            .challenges
            .check(evidence.challenge.as_bytes(), now)
            .map_err(Refusal::from)?;
        // K2: a node that is not allowed itself releases nothing.
        let own = self.standing.own_record()?;
        let (network, rule) = self.network()?;
        // K5: the epoch is part of the record, so it is settled before the contract is asked.
        let keys = self
            .epochs
            .select(evidence.key_epoch, &rule)
            .map_err(Refusal::from)?;
        Ok(Prepared {
            now,
            challenge,
            network,
            keys,
            own,
        })
    }

    async fn verify(
        self: &Arc<Self>,
        evidence: &Arc<Evidence>,
        purpose: Purpose,
        prepared: Prepared,
    ) -> Result<VerifiedEvidence, ApiError> {
        let mut at = Instant::now();
        let Prepared {
            now,
            challenge,
            network,
            keys,
            ..
        } = prepared;
        let described = self
            .verifier
            .describe(evidence.quote.as_bytes())
            .map_err(Refusal::from)?;
        let roots = trust_roots(&network);
        named_root(&described, &roots)?;
        let key = CollateralKey {
            fmspc: described.fmspc,
            ca: described.pck_ca,
        };
        let collateral = self.collateral.get(key, now).await?;
        self.metrics.stage(Stage::Collateral, &mut at);
        let (app, evidence, used) = (Arc::clone(self), Arc::clone(evidence), Arc::clone(&collateral));
        let verified = self
            .compute(move || {
                let mut at = Instant::now();
                let td = app
                    .verifier
                    .verify(evidence.quote.as_bytes(), &used, now, &roots)?;
                app.metrics.stage(Stage::Verify, &mut at);
                let verified =
                    VerifiedEvidence::bind(&td, &evidence, purpose, keys, challenge, app.config_id())?;
                app.metrics.stage(Stage::Boot, &mut at);
                Ok::<_, Refusal>(verified)
            })
            .await??;
        self.collateral.confirm(key, &collateral).await?;
        Ok(verified)
    }

    /// Asks the chain about this node and about the record.
    async fn decide(&self, own: &BootRecord, record: &BootRecord) -> Result<Decision, ApiError> {
        // K2: asked each time, at the same head as the app's question.
        let node = self.authority.decide(Subject::Kms, own).await?;
        if let Err(refusal) = allowed(&node.verdict, node.block().block_ref()) {
            let detail = format!("this node is not allowed: {refusal}");
            return Err(ApiError::new(ProblemCode::NodeNotAllowed, detail));
        }
        let decided = self.authority.decide(Subject::App, record).await?;
        allowed(&decided.verdict, decided.block().block_ref())?;
        Ok(Decision {
            chain_id: self.config.chain.chain_id,
            contract: self.config.chain.contract,
            head: decided.head,
            finalized: decided.finalized,
            record_hash: decided.record_hash,
        })
    }
}

/// The roots and the number the chain demands.
pub(crate) fn trust_roots(network: &NetworkState) -> TrustRoots {
    TrustRoots::new(network.attestation_roots.iter().copied())
        .with_evaluation_floor(network.min_tcb_evaluation_data_number)
}

/// Refuses a quote that does not even name an allowed root, before collateral is fetched for it.
fn named_root(described: &QuoteDescription, roots: &TrustRoots) -> Result<(), Refusal> {
    if roots.contains(&described.attestation_root) {
        return Ok(());
    }
    // K6: a foreign quote must not make this node fetch.
    Err(Refusal::Attestation(AttestationError::Chain(Mismatch {
        what: "attestation root",
        expected: "a root the network allows".to_owned(),
        actual: described.attestation_root.to_string(),
    })))
}

/// The gateway's id as its owner wrote it on-chain, when it is one.
fn gateway(network: &NetworkState) -> AppId {
    network.gateway_app_id.parse().unwrap_or(AppId::ZERO)
}
