//! [`VerifiedBoot`]: a verified TD whose boot was verified too. There is one function that makes one,
//! [`VerifiedTd::boot`].

use crate::{
    AttestationError, Mismatch, VerifiedTd, error::ensure, events::BootEvents, identity,
    image::os_image_hash_from_proof, replay::replay_registers, td::Registers,
};
use kms_types::{
    AppId, BootInfo, BootRecord, ComposeHash, EventLogEntry, HostConfigHash, InstanceId, InstanceSeed,
    KeyEpoch, KeyProviderHash, OsImageHash, ReportData, TdConfigId, TeeType,
};

/// What the boot must have reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootPhase {
    /// Keys: before `system-ready`, while only the measured boot runs.
    Keys,
    /// A lease: after it.
    Lease,
}

/// Whether MRCONFIGID must bind the compose hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigIdPolicy {
    /// It must.
    RequireBinding,
    /// It must when the VMM set it; all zero is accepted.
    AllowZero,
}

/// What a TD claims about its boot, and what the request needs of it.
#[derive(Debug, Clone, Copy)]
pub struct BootClaim<'a> {
    /// The report data this request's transcript gives.
    pub report_data: ReportData,
    /// The event log.
    pub event_log: &'a [EventLogEntry],
    /// Proof that the registers are in the OS image's catalogue.
    pub image_proof: &'a [u8],
    /// The seed behind the instance id; none when the app has no instance id.
    pub instance_seed: Option<InstanceSeed>,
    /// What the request needs.
    pub phase: BootPhase,
    /// Epoch of the keys asked for.
    pub key_epoch: KeyEpoch,
    /// What MRCONFIGID must say.
    pub config_id: ConfigIdPolicy,
}

/// A boot that was verified against its quote: the record a contract is asked about.
#[derive(Debug, Clone)]
pub struct VerifiedBoot {
    td: VerifiedTd,
    events: BootEvents,
    record: BootRecord,
}

impl VerifiedBoot {
    /// The record.
    pub const fn record(&self) -> &BootRecord {
        &self.record
    }
    /// The TD.
    pub const fn td(&self) -> &VerifiedTd {
        &self.td
    }
    /// The boot events.
    pub const fn events(&self) -> &BootEvents {
        &self.events
    }
}

impl VerifiedTd {
    /// Verifies a boot against this TD's registers.
    ///
    /// # Errors
    /// The first check that refuses.
    pub fn boot(&self, claim: &BootClaim<'_>) -> Result<VerifiedBoot, AttestationError> {
        let registers = self.registers();
        check_report_data(registers, claim)?;
        check_event_log(registers, claim)?;
        let events = BootEvents::parse(claim.event_log)?;
        let named = Named::of(&events)?;
        check_phase(&events, claim)?;
        let os_image_hash = check_image(registers, &events, claim)?;
        check_config_id(registers, &named.compose_hash, claim)?;
        check_instance(&events, &named.app_id, claim)?;
        Ok(VerifiedBoot {
            record: self.record(&events, &named, os_image_hash, claim.key_epoch),
            td: self.clone(),
            events,
        })
    }

    fn record(
        &self,
        events: &BootEvents,
        named: &Named,
        os_image_hash: OsImageHash,
        key_epoch: KeyEpoch,
    ) -> BootRecord {
        let os = self.os_measurement();
        let [.., rtmr3] = self.rtmrs();
        let key_provider_hash = events.key_provider_hash.unwrap_or(KeyProviderHash::ZERO);
        BootRecord {
            info: BootInfo {
                app_id: named.app_id,
                compose_hash: named.compose_hash,
                instance_id: events.instance_id.unwrap_or(InstanceId::ZERO),
                device_id: self.device_id(),
                mr_aggregated: identity::mr_aggregated(
                    &os,
                    rtmr3,
                    &self.mr_config_id(),
                    &self.mr_owner(),
                    &self.mr_owner_config(),
                ),
                mr_system: identity::mr_system(&os, &key_provider_hash),
                os_image_hash,
                tcb_status: self.tcb_status(),
                advisory_ids: self.advisory_ids().to_vec(),
            },
            attestation_root: self.attestation_root(),
            tee_type: TeeType::TDX,
            mr_seam: self.mr_seam(),
            tdx_module_version: self.tdx_module_version(),
            tdx_module_svn: self.tdx_module_svn(),
            fmspc: self.fmspc(),
            tcb_evaluation_data_number: self.tcb_evaluation_data_number(),
            tcb_date: self.tcb_date(),
            key_provider_hash,
            host_config_hash: events.host_config_hash.unwrap_or(HostConfigHash::ZERO),
            key_epoch,
        }
    }
}

/// The events without which a boot has no name.
pub(crate) struct Named {
    pub(crate) app_id: AppId,
    pub(crate) compose_hash: ComposeHash,
}

impl Named {
    // B2: a log that stops early has not said yet whose keys are wanted.
    pub(crate) fn of(events: &BootEvents) -> Result<Self, AttestationError> {
        match (events.app_id, events.compose_hash, events.measured) {
            (Some(app_id), Some(compose_hash), true) => Ok(Self { app_id, compose_hash }),
            _ => Err(AttestationError::BootEvents(Mismatch::new(
                "boot events",
                "all up to boot-mr-done",
                "a log that stops before it",
            ))),
        }
    }
}

// Q7: a quote made for another request, service or purpose must open nothing here.
pub(crate) fn check_report_data(
    registers: &Registers,
    claim: &BootClaim<'_>,
) -> Result<(), AttestationError> {
    ensure(
        registers.report_data == claim.report_data,
        AttestationError::ReportData,
        "report data",
        claim.report_data,
        registers.report_data,
    )
}

// B1: only a log that leads to the very register the quote signs says what happened.
pub(crate) fn check_event_log(registers: &Registers, claim: &BootClaim<'_>) -> Result<(), AttestationError> {
    let ([.., replayed], _) = replay_registers(claim.event_log)?;
    let [.., rtmr3] = registers.rtmr;
    ensure(
        replayed == rtmr3,
        AttestationError::EventLog,
        "RTMR3 of the quote",
        rtmr3,
        replayed,
    )
}

// B5: after `system-ready` the app runs, and what the app runs must not be able to ask for its keys again; before it nothing is there to hold a lease.
pub(crate) fn check_phase(events: &BootEvents, claim: &BootClaim<'_>) -> Result<(), AttestationError> {
    let expected = match claim.phase {
        BootPhase::Keys => false,
        BootPhase::Lease => true,
    };
    let word = |ready| if ready { "present" } else { "absent" };
    ensure(
        events.ready == expected,
        AttestationError::Phase,
        "system-ready",
        word(expected),
        word(events.ready),
    )
}

pub(crate) fn check_image(
    registers: &Registers,
    events: &BootEvents,
    claim: &BootClaim<'_>,
) -> Result<OsImageHash, AttestationError> {
    let hash = os_image_hash_from_proof(&registers.os(), claim.image_proof)?;
    // B3: a guest that recorded another image than it proves is not the guest of either.
    if let Some(recorded) = events.os_image_hash {
        ensure(
            recorded == hash,
            AttestationError::ImageProof,
            "os-image-hash event",
            hash,
            recorded,
        )?;
    }
    Ok(hash)
}

/// MRCONFIGID of a TD that was created for `compose_hash`: 0x01 ‖ hash ‖ 15 zero bytes.
pub fn config_id_for(compose_hash: &ComposeHash) -> TdConfigId {
    let mut bytes = [0; 48];
    let source = [1].into_iter().chain(compose_hash.to_bytes());
    for (to, from) in bytes.iter_mut().zip(source) {
        *to = from;
    }
    TdConfigId::new(bytes)
}

// B4: a VMM that fixed the compose hash at creation must not see another one booted.
pub(crate) fn check_config_id(
    registers: &Registers,
    compose_hash: &ComposeHash,
    claim: &BootClaim<'_>,
) -> Result<(), AttestationError> {
    let bound = config_id_for(compose_hash);
    let zero_allowed = claim.config_id == ConfigIdPolicy::AllowZero && registers.mr_config_id.is_zero();
    ensure(
        zero_allowed || registers.mr_config_id == bound,
        AttestationError::ConfigId,
        "MRCONFIGID",
        bound,
        registers.mr_config_id,
    )
}

// B6: an instance id that follows from no seed could be another instance's, and so could its disk key.
pub(crate) fn check_instance(
    events: &BootEvents,
    app_id: &AppId,
    claim: &BootClaim<'_>,
) -> Result<(), AttestationError> {
    let derived = claim.instance_seed.map(|seed| InstanceId::derive(&seed, app_id));
    let word = |id: Option<InstanceId>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    ensure(
        derived == events.instance_id,
        AttestationError::InstanceId,
        "instance id from seed",
        word(derived),
        word(events.instance_id),
    )
}
