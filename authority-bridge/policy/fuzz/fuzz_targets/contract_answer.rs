//! A contract that answers any bytes: allowed comes out only of the one encoding that says so.
#![no_main]
#[allow(dead_code)]
#[path = "../../tests/it/world.rs"]
mod world;

use authority_policy::{Facts, Question, Subject, Verdict, network_state};
use kms_types::*;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use world::{RULES, World, address};

static QUESTION: LazyLock<Question> = LazyLock::new(|| {
    let record = BootRecord {
        info: BootInfo {
            app_id: AppId::ZERO,
            compose_hash: ComposeHash::ZERO,
            instance_id: InstanceId::ZERO,
            device_id: DeviceId::ZERO,
            mr_aggregated: MrAggregated::ZERO,
            mr_system: MrSystem::ZERO,
            os_image_hash: OsImageHash::ZERO,
            tcb_status: TcbStatus::UpToDate,
            advisory_ids: Vec::new(),
        },
        attestation_root: AttestationRoot::ZERO,
        tee_type: TeeType::TDX,
        mr_seam: MrSeam::ZERO,
        tdx_module_version: 1,
        tdx_module_svn: 1,
        fmspc: Fmspc::ZERO,
        tcb_evaluation_data_number: 1,
        tcb_date: UnixTime(0),
        key_provider_hash: KeyProviderHash::ZERO,
        host_config_hash: HostConfigHash::ZERO,
        key_epoch: KeyEpoch::FIRST,
    };
    Question::new(
        ChainAddress::new([0x11; 20]),
        Subject::App,
        &Facts::Record(record),
    )
});

/// Code that returns the bytes that follow it.
fn returning(answer: &[u8]) -> Vec<u8> {
    let len = (answer.len() as u16).to_be_bytes();
    let mut code = vec![
        0x61, len[0], len[1], 0x60, 13, 0x5f, 0x39, 0x61, len[0], len[1], 0x5f, 0xf3, 0xfe,
    ];
    code.extend_from_slice(answer);
    code
}

fuzz_target!(|answer: &[u8]| {
    let state = World::of(&[&returning(answer)]).proven(1);
    debug_assert!(state.account(address(0x11)).is_ok());
    let mut allowed = [0u8; 96];
    allowed[31] = 1;
    allowed[63] = 64;
    let said = QUESTION.ask(&state, &RULES).map(|outcome| outcome.value);
    assert_eq!(said == Ok(Verdict::Allowed), answer == allowed);
    if let Ok(Verdict::Denied { reason }) = said {
        assert!(answer.len() <= 4096 && !reason.chars().any(char::is_control));
    }
    let _ = network_state(&state, &RULES, ChainAddress::new([0x11; 20]));
});
