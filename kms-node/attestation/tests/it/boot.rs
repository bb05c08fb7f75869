//! Boots of simulated TDs: one that is right, and one for every way to be wrong.

use crate::{
    events::event,
    simulated::{NOW, collateral, os, platform, roots},
};
use attestation::{
    AttestationError, BootClaim, BootPhase, ConfigIdPolicy, VerifiedBoot, config_id_for, verify_report,
    verify_td,
};
use kms_types::{
    AppId, ComposeHash, EventLogEntry, InstanceId, InstanceSeed, KeyEpoch, OsMeasurement, ReportData, Rtmr,
    TdConfigId,
};
use sha2::{Digest, Sha256};
use soft_td::TdConfig;
use td_measure::Catalogue;
use td_quote::Td;

const APP: AppId = AppId::new([0xa1; 20]);
const COMPOSE: ComposeHash = ComposeHash::new([0xc0; 32]);
const SEED: InstanceSeed = InstanceSeed::new([0x5e; 20]);
const KEY_PROVIDER: &[u8] = br#"{"name":"kms","id":"00"}"#;

/// Everything a guest hands over, right in every part; tests change one.
struct Evidence {
    events: Vec<EventLogEntry>,
    sent_log: Option<Vec<EventLogEntry>>,
    config_id: TdConfigId,
    policy: ConfigIdPolicy,
    measurement: OsMeasurement,
    proof: Vec<u8>,
    seed: Option<InstanceSeed>,
    phase: BootPhase,
    report_data: ReportData,
}

fn catalogue() -> Catalogue {
    let others = (0..4).map(|n| OsMeasurement {
        rtmr0: Rtmr::new([n; 48]),
        ..os()
    });
    Catalogue::from_measurements(others.chain([os()])).unwrap()
}

impl Evidence {
    fn keys() -> Self {
        let instance = InstanceId::derive(&SEED, &APP);
        Self {
            events: vec![
                event("system-preparing", b""),
                event("app-id", APP.as_ref()),
                event("compose-hash", COMPOSE.as_ref()),
                event("gpu-policy-hash", &[0; 32]),
                event("instance-id", instance.as_ref()),
                event("host-config", &[0x1c; 32]),
                event("boot-mr-done", b""),
            ],
            sent_log: None,
            config_id: config_id_for(&COMPOSE),
            policy: ConfigIdPolicy::RequireBinding,
            measurement: os(),
            proof: catalogue().proof(&os()).unwrap(),
            seed: Some(SEED),
            phase: BootPhase::Keys,
            report_data: ReportData::new([9; 64]),
        }
    }

    fn lease() -> Self {
        let mut evidence = Self::keys();
        evidence.events.extend([
            event("os-image-hash", catalogue().os_image_hash().as_ref()),
            event("key-provider", KEY_PROVIDER),
            event("storage-fs", b"ext4"),
            event("system-ready", b""),
            event("my-own", b"event"),
        ]);
        evidence.phase = BootPhase::Lease;
        evidence
    }

    fn run(&self) -> Result<VerifiedBoot, AttestationError> {
        let platform = platform(|_| ());
        let mut config = TdConfig::new(self.measurement);
        config.mr_config_id = self.config_id;
        let td = platform.launch(config);
        for event in &self.events {
            td.extend(&event.event, event.event_payload.as_bytes()).unwrap();
        }
        let quote = td.quote(&self.report_data).unwrap();
        let log = self.sent_log.clone().unwrap_or_else(|| td.event_log().unwrap());
        let claim = BootClaim {
            report_data: ReportData::new([9; 64]),
            event_log: &log,
            image_proof: &self.proof,
            instance_seed: self.seed,
            phase: self.phase,
            key_epoch: KeyEpoch(3),
            config_id: self.policy,
        };
        let (collateral, roots) = (collateral(&platform), roots(&platform));
        let result = verify_td(&quote, &collateral, NOW, &roots)?.boot(&claim);
        let report = verify_report(&quote, &collateral, NOW, &roots, Some(&claim));
        assert_eq!(report.len(), 14);
        assert_eq!(report.iter().all(|check| check.ok), result.is_ok(), "{report:#?}");
        if let Err(error) = &result {
            assert!(report.iter().any(|check| check.id == error.check() && !check.ok));
        }
        result
    }

    #[track_caller]
    fn refused(&self, check: &str) {
        let error = self.run().unwrap_err();
        assert_eq!(error.check(), check, "{error}");
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

#[test]
fn a_boot_becomes_the_record_a_contract_is_asked_about() {
    let boot = Evidence::keys().run().unwrap();
    let (record, td) = (boot.record(), boot.td());
    assert_eq!((record.info.app_id, record.info.compose_hash), (APP, COMPOSE));
    assert_eq!(record.info.instance_id, InstanceId::derive(&SEED, &APP));
    assert_eq!(record.info.os_image_hash, catalogue().os_image_hash());
    assert_eq!(record.host_config_hash.as_bytes(), &[0x1c; 32]);
    assert_eq!(record.key_epoch, KeyEpoch(3));
    assert!(record.key_provider_hash.is_zero());
    assert_eq!(record.attestation_root, platform(|_| ()).root());
    assert_eq!(record.mr_seam, td.mr_seam());
    let os = os();
    let registers = [
        os.mrtd.as_ref(),
        os.rtmr0.as_ref(),
        os.rtmr1.as_ref(),
        os.rtmr2.as_ref(),
    ]
    .concat();
    let rtmr3 = td.rtmr(3).unwrap();
    let ids = [config_id_for(&COMPOSE).as_ref(), &[0; 96][..]].concat();
    assert_eq!(
        record.info.mr_aggregated.to_bytes(),
        sha256(&[&registers, rtmr3.as_ref(), &ids])
    );
    assert_eq!(record.info.mr_system.to_bytes(), sha256(&[&registers, &[0; 32]]));
}

#[test]
fn identities_of_a_td_without_configuration_ids_leave_them_out() {
    let mut evidence = Evidence::lease();
    evidence.config_id = TdConfigId::ZERO;
    evidence.policy = ConfigIdPolicy::AllowZero;
    let boot = evidence.run().unwrap();
    let os = os();
    let registers = [
        os.mrtd.as_ref(),
        os.rtmr0.as_ref(),
        os.rtmr1.as_ref(),
        os.rtmr2.as_ref(),
    ]
    .concat();
    let rtmr3 = boot.td().rtmr(3).unwrap();
    assert_eq!(
        boot.record().info.mr_aggregated.to_bytes(),
        sha256(&[&registers, rtmr3.as_ref()])
    );
    let key_provider = sha256(&[KEY_PROVIDER]);
    assert_eq!(boot.record().key_provider_hash.to_bytes(), key_provider);
    assert_eq!(
        boot.record().info.mr_system.to_bytes(),
        sha256(&[&registers, &key_provider])
    );
    assert_eq!(boot.events().runtime_events, 1);
}

#[test]
fn q7_report_data_of_another_request_is_refused() {
    let mut evidence = Evidence::keys();
    evidence.report_data = ReportData::new([8; 64]);
    evidence.refused("Q7");
}

#[test]
fn b1_log_that_does_not_lead_to_the_register_is_refused() {
    let good = Evidence::keys().events;
    let mut other_app = good.clone();
    other_app[1] = event("app-id", &[0xa2; 20]);
    let mut longer = good.clone();
    longer.push(event("os-image-hash", catalogue().os_image_hash().as_ref()));
    for log in [other_app, longer, good[..6].to_vec(), vec![]] {
        let mut evidence = Evidence::keys();
        evidence.sent_log = Some(log);
        evidence.refused("B1");
    }
}

#[test]
fn b2_boots_that_stop_early_or_go_astray_are_refused() {
    for end in 0..7 {
        let mut evidence = Evidence::keys();
        evidence.events.truncate(end);
        evidence.refused("B2");
    }
    let mut evidence = Evidence::keys();
    evidence.events.push(event("unheard-of", b""));
    evidence.refused("B2");
    let mut evidence = Evidence::keys();
    evidence.events.push(event("compose-hash", &[1; 32]));
    evidence.refused("B2");
}

#[test]
fn b3_image_that_is_not_proved_is_refused_or_another() {
    let mut evidence = Evidence::keys();
    evidence.proof.pop();
    evidence.refused("B3");
    let mut evidence = Evidence::keys();
    evidence.proof.extend([0; 32]);
    evidence.refused("B3");
    // A measurement outside the catalogue proves to another image, which no contract lists.
    let mut evidence = Evidence::keys();
    evidence.measurement.rtmr2 = Rtmr::new([0xee; 48]);
    let boot = evidence.run().unwrap();
    assert_ne!(boot.record().info.os_image_hash, catalogue().os_image_hash());
}

#[test]
fn b3_recorded_image_that_is_not_the_proved_one_is_refused() {
    let mut evidence = Evidence::keys();
    evidence.events.push(event("os-image-hash", &[6; 32]));
    evidence.refused("B3");
}

#[test]
fn b4_config_id_that_binds_something_else_is_refused() {
    let mut one_bit = config_id_for(&COMPOSE).to_bytes();
    one_bit[47] = 1;
    let mut other_kind = config_id_for(&COMPOSE).to_bytes();
    other_kind[0] = 2;
    let other_hash = config_id_for(&ComposeHash::new([1; 32])).to_bytes();
    for config_id in [one_bit, other_kind, other_hash] {
        for policy in [ConfigIdPolicy::RequireBinding, ConfigIdPolicy::AllowZero] {
            let mut evidence = Evidence::keys();
            evidence.config_id = TdConfigId::new(config_id);
            evidence.policy = policy;
            evidence.refused("B4");
        }
    }
}

#[test]
fn b4_config_id_of_zero_is_refused_unless_allowed() {
    let mut evidence = Evidence::keys();
    evidence.config_id = TdConfigId::ZERO;
    evidence.refused("B4");
    evidence.policy = ConfigIdPolicy::AllowZero;
    evidence.run().unwrap();
}

#[test]
fn b5_keys_for_a_system_that_runs_are_refused() {
    let mut evidence = Evidence::lease();
    evidence.phase = BootPhase::Keys;
    evidence.refused("B5");
    // Without its last two events it has not started yet, and may ask again.
    evidence.events.truncate(10);
    evidence.run().unwrap();
}

#[test]
fn b5_lease_for_a_system_that_does_not_run_is_refused() {
    Evidence::lease().run().unwrap();
    let mut evidence = Evidence::keys();
    evidence.phase = BootPhase::Lease;
    evidence.refused("B5");
}

#[test]
fn b6_instance_id_without_its_seed_is_refused() {
    for seed in [None, Some(InstanceSeed::new([1; 20]))] {
        let mut evidence = Evidence::keys();
        evidence.seed = seed;
        evidence.refused("B6");
    }
}

#[test]
fn b6_seed_without_an_instance_id_is_refused() {
    let mut evidence = Evidence::keys();
    evidence.events[4] = event("instance-id", b"");
    evidence.refused("B6");
    evidence.seed = None;
    assert!(evidence.run().unwrap().record().info.instance_id.is_zero());
}
