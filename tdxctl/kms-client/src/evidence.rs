//! What a TD shows about itself: its own words about what it is, and evidence bound to one challenge.

use crate::RequestError;
use attestation::{BootEvents, describe};
use kms_keys::OpeningKey;
use kms_types::{
    AppId, Blob, ComposeHash, DiskGeneration, EventLogEntry, InstanceId, InstanceSeed, KeyEpoch, ReportData,
    ReportTag,
};
use kms_wire::{ChallengeResponse, Evidence, MAX_VM_CONFIG, evidence_report_data};
use td_measure::Catalogue;
use td_quote::Td;

/// How often a quote is made again when the app adds events meanwhile.
const QUOTE_ATTEMPTS: usize = 5;

/// A TD, as its own log and registers describe it.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its event log.
    pub event_log: Vec<EventLogEntry>,
    /// Proof that its registers are of the OS image.
    pub image_proof: Vec<u8>,
    /// The app it booted; none when its log says nothing readable.
    pub app_id: Option<AppId>,
    /// The compose document it booted.
    pub compose_hash: Option<ComposeHash>,
    /// Its instance; zero for an app without instance ids.
    pub instance_id: InstanceId,
}

impl Guest {
    /// Asks a TD what it is.
    ///
    /// # Errors
    /// When it does not say, or is not of the image.
    pub fn of(td: &dyn Td, catalogue: &Catalogue) -> Result<Self, RequestError> {
        // Nothing is bound by this quote: it is how a guest reads its own registers, and it is sent nowhere.
        let own = describe(&td.quote(&ReportData::ZERO)?).map_err(RequestError::Quote)?;
        let image_proof = catalogue
            .proof(&own.os)
            .ok_or_else(|| RequestError::NotInCatalogue {
                differing: catalogue.differing(&own.os),
                actual: catalogue.measurements().len(),
            })?;
        Ok(Self::described(td.event_log()?, image_proof))
    }

    /// Asks a running TD what it is; the proof that it is of its image was found while it booted.
    ///
    /// # Errors
    /// When it does not say.
    pub fn running(td: &dyn Td, image_proof: Vec<u8>) -> Result<Self, RequestError> {
        Ok(Self::described(td.event_log()?, image_proof))
    }

    fn described(event_log: Vec<EventLogEntry>, image_proof: Vec<u8>) -> Self {
        // A log that does not parse is for the KMS to refuse, with the number of its check; no answer to it is accepted here.
        let events = BootEvents::parse(&event_log).unwrap_or_default();
        Self {
            event_log,
            image_proof,
            app_id: events.app_id,
            compose_hash: events.compose_hash,
            instance_id: events.instance_id.unwrap_or(InstanceId::ZERO),
        }
    }

    /// Evidence for keys over one challenge, and the report data its quote was made over.
    ///
    /// # Errors
    /// When the TD makes no quote, or a part is above its bound.
    pub fn evidence(
        &self,
        td: &dyn Td,
        challenge: &ChallengeResponse,
        key: &OpeningKey,
        described: &Described,
    ) -> Result<(Evidence, ReportData), RequestError> {
        self.quoted(td, ReportTag::Release, challenge, key.public(), described)
    }

    /// Evidence of an app that runs. The log is read anew, since the app may have added events.
    pub(crate) fn running_evidence(
        &self,
        td: &dyn Td,
        tag: ReportTag,
        challenge: &ChallengeResponse,
        recipient: &[u8; 32],
        described: &Described,
    ) -> Result<(Evidence, ReportData), RequestError> {
        for _ in 0..QUOTE_ATTEMPTS {
            let now = Self {
                event_log: td.event_log()?,
                ..self.clone()
            };
            let made = now.quoted(td, tag, challenge, recipient, described)?;
            // An event between log and quote would make the KMS refuse a guest that did nothing wrong.
            if td.event_log()?.len() == now.event_log.len() {
                return Ok(made);
            }
        }
        Err(RequestError::Moving {
            attempts: QUOTE_ATTEMPTS,
        })
    }

    fn quoted(
        &self,
        td: &dyn Td,
        tag: ReportTag,
        challenge: &ChallengeResponse,
        recipient: &[u8; 32],
        described: &Described,
    ) -> Result<(Evidence, ReportData), RequestError> {
        if described.vm_config.len() > MAX_VM_CONFIG {
            return Err(RequestError::TooLong {
                what: "VM configuration",
                max: MAX_VM_CONFIG,
                actual: described.vm_config.len(),
            });
        }
        let mut evidence = Evidence {
            challenge: challenge.challenge.clone(),
            hpke_public_key: blob("HPKE key", recipient.to_vec())?,
            quote: Blob::default(),
            event_log: self.event_log.clone(),
            image_proof: blob("image proof", self.image_proof.clone())?,
            vm_config: described.vm_config.clone(),
            instance_seed: described.instance_seed,
            key_epoch: described.key_epoch,
            disk_generation: described.disk_generation,
        };
        let report_data = evidence_report_data(tag, &challenge.kms_identity, &evidence);
        evidence.quote = blob("quote", td.quote(&report_data)?)?;
        Ok((evidence, report_data))
    }
}

/// What a TD cannot read from itself.
#[derive(Debug, Clone, Default)]
pub struct Described {
    /// The VMM's description of the VM.
    pub vm_config: String,
    /// Seed of the instance id.
    pub instance_seed: Option<InstanceSeed>,
    /// Epoch asked for.
    pub key_epoch: Option<KeyEpoch>,
    /// Generation of the disk, for a lease that reports it; refused with anything else.
    pub disk_generation: Option<DiskGeneration>,
}

fn blob<const MAX: usize>(what: &'static str, bytes: Vec<u8>) -> Result<Blob<MAX>, RequestError> {
    Blob::new(bytes).map_err(|error| RequestError::TooLong {
        what,
        max: error.max,
        actual: error.actual,
    })
}
