//! The files of one verification and the checks run over them. No network, no clock but the time that was given.

use crate::{
    cli::{Phase, Verify},
    exit::Failure,
    input,
    policy::{Facts, MAX_POLICY, Policy},
};
use attestation::{
    BootClaim, BootEvents, BootPhase, CheckResult, Collateral, ConfigIdPolicy, MAX_COLLATERAL_BYTES,
    MAX_PROOF_BYTES, QuoteDescription, TrustRoots, VerifiedTd, describe, os_image_hash_from_proof,
    verify_report, verify_td,
};
use kms_types::{BootRecord, EventLogEntry, InstanceSeed, KeyEpoch, ReportData, UnixTime};
use serde_json::{Value, json};
use std::time::SystemTime;
use td_measure::{Catalogue, MAX_CATALOGUE_JSON};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Everything the files say.
pub(crate) struct Case {
    quote: Vec<u8>,
    described: Option<QuoteDescription>,
    collateral: Collateral,
    pub(crate) now: UnixTime,
    pub(crate) policy: Policy,
    report_data: Option<ReportData>,
    event_log: Option<Vec<EventLogEntry>>,
    image_proof: Option<Vec<u8>>,
    instance_seed: Option<InstanceSeed>,
    phase: Option<BootPhase>,
    config_id: ConfigIdPolicy,
}

impl Case {
    pub(crate) fn read(arguments: &Verify) -> Result<Self, Failure> {
        let boot = &arguments.boot;
        let evidence = input::read_quote(&arguments.quote)?;
        let collateral = input::read(&arguments.collateral, MAX_COLLATERAL_BYTES)?;
        let policy = arguments.policy.as_ref().map(|path| {
            Policy::parse(&input::read_text(path, MAX_POLICY)?)
                .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
        });
        let described = describe(&evidence.quote).ok();
        let image_proof = match (&boot.image_proof, &boot.catalogue) {
            (Some(path), _) => Some(input::read_bytes(path, MAX_PROOF_BYTES)?),
            (None, Some(path)) => {
                let catalogue =
                    Catalogue::from_json(&input::read(path, MAX_CATALOGUE_JSON)?).map_err(Failure::usage)?;
                // A measurement outside the catalogue has no proof, and an empty one fails its check.
                Some(
                    described
                        .as_ref()
                        .and_then(|own| catalogue.proof(&own.os))
                        .unwrap_or_default(),
                )
            }
            (None, None) => None,
        };
        let event_log = boot.event_log.as_deref().map(input::read_event_log).transpose()?;
        Ok(Self {
            collateral: Collateral::from_json(&collateral).map_err(Failure::usage)?,
            now: time(arguments.time.as_deref())?,
            policy: policy.transpose()?.unwrap_or_default(),
            report_data: boot.report_data,
            event_log: event_log.or(evidence.event_log),
            image_proof,
            instance_seed: boot.instance_seed,
            phase: boot.phase.map(|phase| match phase {
                Phase::Keys => BootPhase::Keys,
                Phase::Lease => BootPhase::Lease,
            }),
            config_id: match boot.allow_unbound {
                true => ConfigIdPolicy::AllowZero,
                false => ConfigIdPolicy::RequireBinding,
            },
            quote: evidence.quote,
            described,
        })
    }

    /// Checks that have no expectation to compare with.
    pub(crate) fn not_checked(&self) -> Vec<&'static str> {
        let events = self.events();
        let seed = self.instance_seed.is_some() || events.as_ref().is_some_and(|e| e.instance_id.is_none());
        let log = self.event_log.is_some();
        [
            ("Q7", self.report_data.is_some()),
            ("B1", log),
            ("B2", log),
            ("B3", log && self.image_proof.is_some()),
            ("B4", log),
            ("B5", log && self.phase.is_some()),
            ("B6", log && seed),
        ]
        .into_iter()
        .filter_map(|(id, checked)| (!checked).then_some(id))
        .collect()
    }

    /// Every check that can be run, in order, then the policy's; and the boot record when the whole boot holds.
    pub(crate) fn check(&self, roots: &TrustRoots) -> (Vec<CheckResult>, Option<BootRecord>) {
        let claim = self.claim();
        let mut rows = verify_report(&self.quote, &self.collateral, self.now, roots, Some(&claim));
        let not_checked = self.not_checked();
        rows.retain(|row| !not_checked.contains(&row.id));
        let td = verify_td(&self.quote, &self.collateral, self.now, roots).ok();
        let record = td
            .as_ref()
            .and_then(|td| td.boot(&claim).ok())
            .map(|boot| boot.record().clone());
        rows.extend(self.policy.check(&self.facts(&rows, td)));
        (rows, record)
    }

    /// What the quote claims, for a reader; verified only when the checks hold.
    pub(crate) fn claims(&self) -> Value {
        let Some(own) = &self.described else {
            return Value::Null;
        };
        json!({
            "version": own.version,
            "fmspc": own.fmspc,
            "attestation_root": own.attestation_root,
            "mrtd": own.os.mrtd,
            "rtmr0": own.os.rtmr0,
            "rtmr1": own.os.rtmr1,
            "rtmr2": own.os.rtmr2,
            "rtmr3": own.rtmr3,
            "report_data": own.report_data,
            "mr_config_id": own.mr_config_id,
        })
    }

    fn events(&self) -> Option<BootEvents> {
        BootEvents::parse(self.event_log.as_deref()?).ok()
    }

    /// An expectation nobody gave is filled from the evidence; its check then says nothing and is left out of the list.
    fn claim(&self) -> BootClaim<'_> {
        let ready = self.events().is_some_and(|events| events.ready);
        let own = self.described.as_ref().map(|own| own.report_data);
        BootClaim {
            report_data: self.report_data.or(own).unwrap_or(ReportData::ZERO),
            event_log: self.event_log.as_deref().unwrap_or_default(),
            image_proof: self.image_proof.as_deref().unwrap_or_default(),
            instance_seed: self.instance_seed,
            phase: self
                .phase
                .unwrap_or(if ready { BootPhase::Lease } else { BootPhase::Keys }),
            key_epoch: KeyEpoch::FIRST,
            config_id: self.config_id,
        }
    }

    fn facts(&self, rows: &[CheckResult], td: Option<VerifiedTd>) -> Facts {
        let holds = |id| td.is_some() && rows.iter().any(|row| row.id == id && row.ok);
        let proof = self.image_proof.as_deref().filter(|_| holds("B3"));
        Facts {
            events: self.events().filter(|_| holds("B1") && holds("B2")),
            os_image_hash: td
                .as_ref()
                .zip(proof)
                .and_then(|(td, proof)| os_image_hash_from_proof(&td.os_measurement(), proof).ok()),
            td,
        }
    }
}

fn time(text: Option<&str>) -> Result<UnixTime, Failure> {
    let seconds = match text {
        None => SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .map(|age| age.as_secs()),
        Some(text) => OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|time| u64::try_from(time.unix_timestamp()).ok()),
    };
    seconds.map(UnixTime).ok_or_else(|| {
        let actual = text.unwrap_or("a clock before 1970");
        Failure::usage(format_args!("time: expected RFC 3339 since 1970, got {actual:?}"))
    })
}
