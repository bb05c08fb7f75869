//! Evidence of a TD: bounds that JSON does not carry, then the boot behind a verified quote, bound to this request.
//! [`VerifiedEvidence`] is made in one place, [`VerifiedEvidence::bind`]; nothing is released without one.

use crate::{FreshChallenge, Refusal};
use attestation::{BootClaim, BootPhase, ConfigIdPolicy, VerifiedBoot, VerifiedTd};
use kms_keys::EpochKeys;
use kms_types::{BootRecord, DiskGeneration, DiskMark, ReportData, ReportTag, UnixTime};
use kms_wire::{
    CHALLENGE_LEN, Evidence, LogEntry, MAX_EVENT_LOG, MAX_EVENT_NAME, MAX_EVENTS, MAX_VM_CONFIG, ReleaseKind,
    evidence_report_data,
};
use std::sync::Arc;

/// What evidence is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// An app's keys, while it boots.
    AppKeys,
    /// A lease, once it runs.
    Lease,
    /// A certificate, once it runs.
    Certificate,
}

impl Purpose {
    /// Tag of the report data.
    pub const fn tag(self) -> ReportTag {
        match self {
            Self::AppKeys => ReportTag::Release,
            Self::Lease => ReportTag::Lease,
            Self::Certificate => ReportTag::RaTls,
        }
    }
    /// How far the boot must have come.
    pub const fn phase(self) -> BootPhase {
        match self {
            Self::AppKeys => BootPhase::Keys,
            Self::Lease | Self::Certificate => BootPhase::Lease,
        }
    }
    /// Kind of the log entry.
    pub const fn kind(self) -> ReleaseKind {
        match self {
            Self::AppKeys => ReleaseKind::AppKeys,
            Self::Lease => ReleaseKind::Lease,
            Self::Certificate => ReleaseKind::Certificate,
        }
    }
}

/// Highest generation of a disk: the database counts in 63 bits.
const MAX_GENERATION: u64 = i64::MAX as u64;

/// Checks the bounds that parsing did not.
///
/// # Errors
/// When one is exceeded.
pub fn check_bounds(evidence: &Evidence, purpose: Purpose) -> Result<(), Refusal> {
    check_generation(evidence.disk_generation, purpose)?;
    exactly("challenge", CHALLENGE_LEN, evidence.challenge.as_bytes().len())?;
    exactly("hpke_public_key", 32, evidence.hpke_public_key.as_bytes().len())?;
    at_most("vm_config bytes", MAX_VM_CONFIG, evidence.vm_config.len())?;
    // Q8: replay costs a hash per entry; the bound stands before the first.
    at_most("event_log entries", MAX_EVENTS, evidence.event_log.len())?;
    let mut bytes = 0_usize;
    for entry in &evidence.event_log {
        at_most("event name bytes", MAX_EVENT_NAME, entry.event.len())?;
        bytes += entry.event.len() + entry.digest.as_bytes().len() + entry.event_payload.as_bytes().len();
    }
    at_most("event_log bytes", MAX_EVENT_LOG, bytes)
}

fn check_generation(generation: Option<DiskGeneration>, purpose: Purpose) -> Result<(), Refusal> {
    let number = generation.map(|generation| generation.number);
    let marked = generation.is_none_or(|generation| generation.mark != DiskMark::ZERO);
    let expected = match (purpose, number) {
        (_, None) => return Ok(()),
        (Purpose::Lease, Some(1..=MAX_GENERATION)) if marked => return Ok(()),
        // G4: the mark that stands for any would let every copy of the disk go on from here.
        (Purpose::Lease, Some(1..=MAX_GENERATION)) => "a mark that is not zero".to_owned(),
        (Purpose::Lease, Some(_)) => format!("1 to {MAX_GENERATION}"),
        // G4: before its disk is open a guest knows no generation, and one that nobody keeps would be taken for kept.
        (Purpose::AppKeys | Purpose::Certificate, Some(_)) => {
            "none, since only a lease reports it".to_owned()
        }
    };
    Err(Refusal::Malformed {
        what: "disk_generation",
        expected,
        actual: generation
            .map(|generation| generation.to_string())
            .unwrap_or_default(),
    })
}

fn exactly(what: &'static str, expected: usize, actual: usize) -> Result<(), Refusal> {
    if expected == actual {
        return Ok(());
    }
    Err(Refusal::Malformed {
        what,
        expected: format!("{expected} bytes"),
        actual: actual.to_string(),
    })
}

fn at_most(what: &'static str, max: usize, actual: usize) -> Result<(), Refusal> {
    if actual <= max {
        return Ok(());
    }
    Err(Refusal::Malformed {
        what,
        expected: format!("at most {max}"),
        actual: actual.to_string(),
    })
}

/// Evidence that holds: a verified boot whose quote names this node, this challenge and the key to seal to.
#[derive(Clone)]
pub struct VerifiedEvidence {
    purpose: Purpose,
    boot: VerifiedBoot,
    keys: Arc<EpochKeys>,
    report_data: ReportData,
    recipient: [u8; 32],
    challenge: FreshChallenge,
    disk_generation: Option<DiskGeneration>,
}

impl std::fmt::Debug for VerifiedEvidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedEvidence")
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

impl VerifiedEvidence {
    /// Verifies the boot of a verified TD against the evidence and binds it to this request.
    ///
    /// # Errors
    /// The first check that refuses.
    pub fn bind(
        td: &VerifiedTd,
        evidence: &Evidence,
        purpose: Purpose,
        keys: Arc<EpochKeys>,
        challenge: FreshChallenge,
        config_id: ConfigIdPolicy,
    ) -> Result<Self, Refusal> {
        let public = keys.identity();
        // Q7: computed here from the whole request, so a quote over another node, challenge, key or document differs.
        let report_data = evidence_report_data(purpose.tag(), &public.kms_identity, evidence);
        let boot = td.boot(&BootClaim {
            report_data,
            event_log: &evidence.event_log,
            image_proof: evidence.image_proof.as_bytes(),
            instance_seed: evidence.instance_seed,
            phase: purpose.phase(),
            key_epoch: public.key_epoch,
            config_id,
        })?;
        // K1: the key inside the quote, which `boot` compared, and no other.
        let recipient = evidence
            .hpke_public_key
            .as_bytes()
            .try_into()
            .map_err(|_| Refusal::Malformed {
                what: "hpke_public_key",
                expected: "32 bytes".to_owned(),
                actual: evidence.hpke_public_key.as_bytes().len().to_string(),
            })?;
        Ok(Self {
            purpose,
            boot,
            keys,
            report_data,
            recipient,
            challenge,
            disk_generation: evidence.disk_generation,
        })
    }

    /// What it was shown for.
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }
    /// The record to ask the contract about.
    pub const fn record(&self) -> &BootRecord {
        self.boot.record()
    }
    /// The challenge, to be spent.
    pub const fn challenge(&self) -> FreshChallenge {
        self.challenge
    }
    /// Keys of the epoch that was chosen.
    pub fn keys(&self) -> &EpochKeys {
        &self.keys
    }
    /// Report data the quote carries.
    pub const fn report_data(&self) -> &ReportData {
        &self.report_data
    }
    /// Key the quote carries.
    pub const fn recipient(&self) -> &[u8; 32] {
        &self.recipient
    }

    /// The log entry of a release over this evidence; of keys, without what the log knows of the disk's generation.
    pub fn log_entry(&self, block: kms_types::BlockRef, time: UnixTime) -> LogEntry {
        let record = self.record();
        LogEntry {
            kind: self.purpose.kind(),
            app_id: record.info.app_id,
            instance_id: record.info.instance_id,
            compose_hash: record.info.compose_hash,
            os_image_hash: record.info.os_image_hash,
            device_id: record.info.device_id,
            key_epoch: record.key_epoch,
            block,
            time,
            disk_generation: self.disk_generation,
        }
    }
}
