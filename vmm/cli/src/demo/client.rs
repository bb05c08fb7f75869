//! The guest's side in the demo: boots a TD, asks for keys with the guest's own client, and lists what a verifier checks.

use super::fingerprint::Fingerprints;
use anvil_tests::{AppSpec, Network};
use anyhow::{Context, Result};
use attestation::{BootClaim, BootPhase, CheckResult, Collateral, ConfigIdPolicy, TrustRoots, verify_report};
use kms_client::{Expected, KmsPin, RequestError, RequestOptions, request_keys};
use kms_types::{DeviceId, EventLogEntry, ReportData, UnixTime};
use kms_wire::{AppKeysResponse, Problem};
use soft_td::SoftTd;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use td_quote::{Td, TdError};
use zeroize::Zeroizing;

/// Longest wait for a node to see a block that is final.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came of a request.
pub(super) enum Outcome {
    /// Keys.
    Released(Box<Keys>),
    /// A refusal, in the KMS's words.
    Refused(Box<Problem>),
}

/// Keys that came, as far as they are shown.
pub(super) struct Keys {
    pub(super) fingerprints: Fingerprints,
    pub(super) response: AppKeysResponse,
    pub(super) checks: Vec<CheckResult>,
    pub(super) took: Duration,
}

/// One confidential VM.
pub(super) struct Vm {
    pub(super) spec: AppSpec,
    td: Watched,
}

impl Vm {
    /// Boots one.
    pub(super) fn boot(network: &Network, spec: AppSpec) -> Result<Self> {
        let td = network.launch(&spec)?;
        Ok(Self::on(spec, td))
    }

    /// One that has booted elsewhere.
    pub(super) fn on(spec: AppSpec, td: Arc<SoftTd>) -> Self {
        Self {
            spec,
            td: Watched {
                td,
                last: Mutex::default(),
            },
        }
    }

    /// The TD.
    pub(super) fn td(&self) -> &SoftTd {
        &self.td.td
    }

    /// Asks for its keys.
    pub(super) async fn ask(&self, network: &Network) -> Result<Outcome> {
        let node = network.node()?;
        let description = network.description();
        let options = RequestOptions {
            kms_url: node.url().parse()?,
            // What the chain records of the KMS is what a guest's measured configuration pins.
            pin: KmsPin::from_identity(node.identity())?,
            older: None,
            network: Expected {
                chain_id: Some(description.chain_id),
                contract: Some(description.kms_authority),
            },
            catalogue: network.catalogue().clone(),
            vm_config: format!("{{\"shape\":\"{}\"}}", self.spec.shape),
            instance_seed: self.spec.boot.instance_seed,
            key_epoch: None,
            timeout: Duration::from_secs(20),
        };
        let begun = Instant::now();
        match request_keys(&options, &self.td).await {
            Ok(released) => Ok(Outcome::Released(Box::new(Keys {
                fingerprints: Fingerprints::of(&released.keys)?,
                took: begun.elapsed(),
                checks: self.checks(network, &released.guest.image_proof, &released.response)?,
                response: released.response,
            }))),
            Err(RequestError::Refused { problem, .. }) => Ok(Outcome::Refused(problem)),
            Err(error) => Err(error).context("request for keys"),
        }
    }

    /// Asks until the node has seen the block that makes a grant final.
    pub(super) async fn ask_for_grant(&self, network: &Network) -> Result<Outcome> {
        let end = Instant::now() + PATIENCE;
        loop {
            let outcome = self.ask(network).await?;
            let early = match &outcome {
                Outcome::Refused(problem) => problem
                    .reason
                    .as_deref()
                    .is_some_and(|why| why.starts_with("not_yet_final")),
                Outcome::Released(_) => false,
            };
            if !early || Instant::now() > end {
                return Ok(outcome);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The node's verifier, run once more here over the same quote, to list what it looks at.
    fn checks(
        &self,
        network: &Network,
        image_proof: &[u8],
        response: &AppKeysResponse,
    ) -> Result<Vec<CheckResult>> {
        let last = self
            .td
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (report_data, quote) = last.context("no quote was made")?;
        let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
        let collateral = Collateral::from_json(&network.platform()?.collateral(now)?.to_json()?)?;
        let log = self.td.event_log()?;
        let claim = BootClaim {
            report_data,
            event_log: &log,
            image_proof,
            instance_seed: self.spec.boot.instance_seed,
            phase: BootPhase::Keys,
            key_epoch: response.key_epoch,
            config_id: ConfigIdPolicy::RequireBinding,
        };
        Ok(verify_report(
            &quote,
            &collateral,
            now,
            &TrustRoots::new([network.root()]),
            Some(&claim),
        ))
    }

    /// The platform it runs on.
    pub(super) fn device(&self, network: &Network) -> Result<DeviceId> {
        Ok(network.platform()?.device_id())
    }
}

/// A TD that remembers its last quote.
struct Watched {
    td: Arc<SoftTd>,
    last: Mutex<Option<(ReportData, Vec<u8>)>>,
}

impl Td for Watched {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        let quote = self.td.quote(report_data)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((*report_data, quote.clone()));
        Ok(quote)
    }
    fn extend(&self, name: &str, payload: &[u8]) -> Result<EventLogEntry, TdError> {
        self.td.extend(name, payload)
    }
    fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError> {
        self.td.event_log()
    }
    fn sealing_key(&self, context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
        self.td.sealing_key(context)
    }
}
