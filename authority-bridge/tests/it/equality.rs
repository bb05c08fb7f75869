//! Local execution says what Anvil's own `eth_call` says, for records nobody thought of.

use crate::fixture::{COMPOSE, Net, reason};
use alloy::{
    network::TransactionBuilder, primitives::Address, providers::Provider, rpc::types::TransactionRequest,
};
use authority_bridge::{Bridge, Subject};
use authority_contracts::{Answer, decode_answer, question};
use kms_types::{
    AppId, AttestationRoot, BootRecord, ComposeHash, DeviceId, Fmspc, KeyEpoch, MrSeam, OsImageHash,
    TcbStatus, TeeType, UnixTime,
};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};

const CASES: usize = 96;

/// Values around those the network knows, so that denials of every kind and allowances are met.
fn records(app: AppId, kms_app: AppId) -> impl Strategy<Value = (bool, BootRecord)> {
    let ids = (
        select(vec![app, app, app, kms_app, AppId::new([9; 20]), AppId::ZERO]),
        select(vec![
            COMPOSE,
            COMPOSE,
            ComposeHash::new([0xcc; 32]),
            ComposeHash::ZERO,
        ]),
        select(vec![
            OsImageHash::new([5; 32]),
            OsImageHash::new([5; 32]),
            OsImageHash::ZERO,
        ]),
        select(vec![
            AttestationRoot::new([0xa1; 32]),
            AttestationRoot::new([0xa1; 32]),
            AttestationRoot::ZERO,
        ]),
    );
    let tcb = (
        select(vec![
            TcbStatus::UpToDate,
            TcbStatus::UpToDate,
            TcbStatus::OutOfDate,
            TcbStatus::Revoked,
        ]),
        prop::collection::vec("INTEL-SA-[0-9]{5}", 0..3),
        4u8..8,
        16u32..19,
        prop_oneof![Just(1_700_000_000), any::<u64>()],
    );
    let rest = (
        any::<bool>(),
        any::<[u8; 32]>(),
        any::<[u8; 48]>(),
        any::<[u8; 6]>(),
        0u32..4,
        select(vec![0x81, 0x81, 0]),
    );
    (ids, tcb, rest).prop_map(
        |((app, compose, image, root), (status, advisories, svn, number, date), rest)| {
            let (kms, device, seam, fmspc, epoch, tee) = rest;
            let mut record = crate::fixture::record(app);
            record.info.compose_hash = compose;
            record.info.os_image_hash = image;
            record.info.device_id = DeviceId::new(device);
            record.info.tcb_status = status;
            record.info.advisory_ids = advisories;
            record.attestation_root = root;
            record.tee_type = TeeType(tee);
            record.mr_seam = MrSeam::new(seam);
            record.fmspc = Fmspc::new(fmspc);
            record.tdx_module_svn = svn;
            record.tcb_evaluation_data_number = number;
            record.tcb_date = UnixTime(date);
            record.key_epoch = KeyEpoch(epoch);
            (kms, record)
        },
    )
}

async fn eth_call(net: &Net, subject: Subject, record: &BootRecord, block: u64) -> String {
    let data = match subject {
        Subject::App => question::is_app_allowed(record),
        Subject::Kms => question::is_kms_allowed(record),
    };
    let request = TransactionRequest::default()
        .with_to(net.contract())
        .with_from(Address::ZERO)
        .with_input(data);
    let answer = net
        .owner
        .provider()
        .call(request)
        .block(block.into())
        .await
        .unwrap();
    match decode_answer(&answer).unwrap() {
        Answer::Allowed => String::new(),
        Answer::Denied(denial) => denial.reason().to_owned(),
    }
}

async fn compare(net: &Net, bridge: &Bridge, subject: Subject, record: &BootRecord) -> String {
    let decided = bridge.decide(subject, record).await.unwrap();
    let expected = eth_call(net, subject, record, decided.head.number).await;
    assert_eq!(reason(&decided), expected, "{record:?}");
    expected
}

#[tokio::test]
async fn local_execution_equals_eth_call_for_random_records() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let strategy = records(net.app, net.network.kms_app.unwrap().app_id);
    let mut runner = TestRunner::deterministic();
    let mut codes = std::collections::BTreeSet::new();
    for case in 0..CASES {
        let (kms, record) = strategy.new_tree(&mut runner).unwrap().current();
        let subject = if kms { Subject::Kms } else { Subject::App };
        let said = compare(&net, &bridge, subject, &record).await;
        codes.insert(said.split(':').next().unwrap().to_owned());
        if case % 16 == 0 {
            net.mine(1).await;
            net.caught_up(&bridge).await;
        }
    }
    assert!(
        codes.contains("") && codes.len() > 6,
        "too few kinds of answers: {codes:?}"
    );
}
