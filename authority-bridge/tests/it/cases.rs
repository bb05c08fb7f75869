//! Questions put to a network at one block. A record starts as one that is likely allowed and gets a field or two
//! changed, so that most answers hang on one rule; some calls are no question at all.

use crate::{
    dice::Dice,
    world::{ADVISORIES, DAY, World, compose, device, fmspc, image, measurement, root, seam},
};
use alloy::primitives::{Address, Bytes};
use alloy::sol_types::SolCall;
use authority_bridge::Subject;
use authority_contracts::{abi::KmsAuthority, question};
use kms_types::{
    AppId, AttestationRoot, BootRecord, ComposeHash, DeviceId, Fmspc, HostConfigHash, InstanceId, KeyEpoch,
    KeyProviderHash, MrAggregated, MrSeam, OsImageHash, TcbStatus, TeeType, UnixTime,
};

/// What is asked.
#[derive(Debug, Clone)]
pub enum Asked {
    /// A boot record, through the second version.
    Record(Subject, BootRecord),
    /// What the first version knows of a boot record.
    Info(Subject, BootRecord),
    /// Anything else that can be sent to the contract.
    Raw(&'static str, Bytes),
}

#[derive(Debug, Clone)]
pub struct Case {
    pub asked: Asked,
    pub data: Bytes,
    /// The app is one the bridge may refuse to answer for.
    pub bounded: bool,
}

/// One case for the world as it is.
pub fn case(world: &World, dice: &mut Dice) -> Case {
    let (app, bounded) = match dice.below(10) {
        0..=5 => (dice.mostly(&world.apps), false),
        6 => (world.apps[2], false),
        _ => {
            let (app, _, bounded) = dice.pick(&world.odd);
            (app, bounded)
        }
    };
    let record = record(world, dice, app);
    let subject = if app == world.apps[2] && dice.chance(70) || dice.chance(5) {
        Subject::Kms
    } else {
        Subject::App
    };
    let asked = match dice.below(20) {
        0..=11 => Asked::Record(subject, record),
        12..=16 => Asked::Info(
            if dice.chance(30) {
                Subject::Kms
            } else {
                Subject::App
            },
            record,
        ),
        _ => raw(dice, &record),
    };
    let data = match &asked {
        Asked::Record(Subject::App, record) => question::is_app_allowed(record).into(),
        Asked::Record(Subject::Kms, record) => question::is_kms_allowed(record).into(),
        Asked::Info(Subject::App, record) => question::is_app_allowed_v1(&record.info).into(),
        Asked::Info(Subject::Kms, record) => question::is_kms_allowed_v1(&record.info).into(),
        Asked::Raw(_, data) => data.clone(),
    };
    Case { asked, data, bounded }
}

fn record(world: &World, dice: &mut Dice, app: Address) -> BootRecord {
    let mut record = crate::fixture::record(AppId::new(app.0.0));
    record.key_epoch = KeyEpoch(1);
    for _ in 0..dice.pick(&[0, 0, 1, 1, 1, 2, 2, 5]) {
        mutate(&mut record, dice, world.now);
    }
    record
}

/// Changes one field, mostly to a value the network may know.
fn mutate(record: &mut BootRecord, dice: &mut Dice, now: u64) {
    let n = dice.pick(&[0, 1, 1, 2]);
    let stranger = dice.chance(10);
    let info = &mut record.info;
    match dice.below(20) {
        0 if stranger => info.compose_hash = ComposeHash::new(dice.bytes()),
        0 | 1 => info.compose_hash = ComposeHash::new(compose(n).0),
        2 if stranger => info.device_id = DeviceId::new(dice.bytes()),
        2 | 3 => info.device_id = DeviceId::new(device(n).0),
        4 if stranger => info.os_image_hash = OsImageHash::new(dice.bytes()),
        4 => info.os_image_hash = OsImageHash::new(image(n).0),
        5 => info.mr_aggregated = MrAggregated::new(measurement(n).0),
        6 | 7 => info.tcb_status = dice.pick(&TcbStatus::ALL),
        8 | 9 => info.advisory_ids = advisories(dice),
        10 => info.instance_id = InstanceId::new(dice.bytes()),
        11 if stranger => record.attestation_root = AttestationRoot::new(dice.bytes()),
        11 => record.attestation_root = AttestationRoot::new(root(n).0),
        12 => record.tee_type = TeeType(dice.pick(&[0x81, 0, 0x80, u32::MAX])),
        13 => record.mr_seam = MrSeam::new(seam(n)),
        14 => record.tdx_module_svn = dice.pick(&[0, 4, 5, 6, 7, 255]),
        15 => record.fmspc = Fmspc::new(fmspc(n)),
        16 => record.tcb_evaluation_data_number = dice.pick(&[0, 15, 16, 17, 18, 19, u32::MAX]),
        17 => date(record, dice, now),
        18 => record.key_epoch = KeyEpoch(dice.pick(&[0, 1, 2, 3, 4, 5, u32::MAX])),
        _ => {
            record.key_provider_hash = KeyProviderHash::new(dice.bytes());
            record.host_config_hash = HostConfigHash::new(dice.bytes());
            record.tdx_module_version = dice.pick(&[0, 1, 255]);
        }
    }
}

/// A date whose grace ends just before, at or just after the block, for the periods the world uses.
fn date(record: &mut BootRecord, dice: &mut Dice, now: u64) {
    let period = dice.pick(&[0, 1, 30]) * DAY;
    let near = (now + dice.below(3)).saturating_sub(1).saturating_sub(period);
    record.tcb_date = UnixTime(dice.pick(&[near, near, near, 0, u64::MAX]));
    record.info.tcb_status = dice.pick(&[TcbStatus::OutOfDate, TcbStatus::OutOfDateConfigurationNeeded]);
}

fn advisories(dice: &mut Dice) -> Vec<String> {
    match dice.below(12) {
        // Reasons that no longer fit into an answer, and lists that read as many slots as are allowed.
        0 => vec!["x".repeat(dice.pick(&[31, 32, 33, 1_000, 4_000, 5_000]))],
        1 => (0..dice.pick(&[64, 200]))
            .map(|n| format!("INTEL-SA-{n:05}"))
            .collect(),
        2 => vec![String::new(); 50],
        3 => vec!["\u{0}\n\r\u{7f}\u{202e}\u{1F600}".repeat(3)],
        _ => (0..=dice.below(3))
            .map(|_| dice.pick(&ADVISORIES).to_owned())
            .collect(),
    }
}

fn raw(dice: &mut Dice, record: &BootRecord) -> Asked {
    let epoch = dice.pick(&[0, 1, 2, u32::MAX]);
    match dice.below(8) {
        0 => Asked::Raw("network state", question::network_state().into()),
        1 => Asked::Raw("identity", question::kms_identity(KeyEpoch(epoch)).into()),
        2 => Asked::Raw("roots", KmsAuthority::attestationRootsCall {}.abi_encode().into()),
        3 => Asked::Raw("policy", KmsAuthority::tcbPolicyCall {}.abi_encode().into()),
        4 => Asked::Raw("no function", dice.bytes::<36>().to_vec().into()),
        5 => Asked::Raw("nothing", Bytes::new()),
        6 => {
            // Not a view: reverts where it comes from nobody.
            let call = KmsAuthority::setReleasePausedCall { paused: true };
            Asked::Raw("a transaction", call.abi_encode().into())
        }
        _ => broken(dice, record),
    }
}

/// A question whose encoding is damaged: cut, or with one byte changed.
fn broken(dice: &mut Dice, record: &BootRecord) -> Asked {
    let mut data = if dice.chance(50) {
        question::is_app_allowed(record)
    } else {
        let mut call = KmsAuthority::isAppAllowedV2Call {
            record: record.into(),
        };
        call.record.mrSeam = vec![7; dice.pick(&[0, 47, 49, 100])].into();
        call.record.info.tcbStatus = dice.pick(&["UpToDate", "uptodate", "", "Up\nToDate"]).to_owned();
        call.abi_encode()
    };
    let at = usize::try_from(dice.below(data.len() as u64)).unwrap();
    match dice.below(3) {
        0 => data.truncate(at),
        1 => data[at] ^= 1 << dice.below(8),
        _ => {}
    }
    Asked::Raw("damaged question", data.into())
}
