//! Receipts count only as a whole and only under the root in their header.

use crate::world::World;
use alloy_consensus::{
    Eip658Value, Receipt, ReceiptEnvelope, ReceiptWithBloom, proofs::calculate_receipt_root,
};
use alloy_primitives::{Address, B256, Bytes, Log, LogData};
use authority_policy::{
    MAX_RECEIPTS, PolicyError, ProvenHeader, ProvenReceipts, may_hold_log_of, may_hold_topic,
};
use proptest::prelude::*;

fn receipt(kind: u8, gas: u64, logs: Vec<Log>) -> ReceiptEnvelope {
    let receipt = Receipt {
        status: Eip658Value::Eip658(true),
        cumulative_gas_used: gas,
        logs,
    };
    let receipt: ReceiptWithBloom<_> = receipt.into();
    match kind % 3 {
        0 => ReceiptEnvelope::Legacy(receipt),
        1 => ReceiptEnvelope::Eip1559(receipt),
        _ => ReceiptEnvelope::Eip7702(receipt),
    }
}

fn header(receipts: &[ReceiptEnvelope]) -> ProvenHeader {
    let mut fields = World::of(&[]).fields(7);
    fields.receipts_root = calculate_receipt_root(receipts);
    fields.gas_used = 30_000_000;
    for receipt in receipts {
        fields.logs_bloom.accrue_bloom(receipt.logs_bloom());
    }
    let hash = fields.hash_slow();
    ProvenHeader::new(fields, hash).unwrap()
}

fn log() -> impl Strategy<Value = Log> {
    let data = prop::collection::vec(any::<u8>(), 0..70);
    (
        any::<[u8; 20]>(),
        prop::collection::vec(any::<[u8; 32]>(), 0..5),
        data,
    )
        .prop_map(|(emitter, topics, data)| Log {
            address: Address::from(emitter),
            data: LogData::new_unchecked(topics.into_iter().map(B256::from).collect(), Bytes::from(data)),
        })
}

fn receipts() -> impl Strategy<Value = Vec<ReceiptEnvelope>> {
    let one = (any::<u8>(), any::<u64>(), prop::collection::vec(log(), 0..4));
    prop::collection::vec(one.prop_map(|(kind, gas, logs)| receipt(kind, gas, logs)), 0..6)
}

/// Changes one thing.
fn changed(mut receipts: Vec<ReceiptEnvelope>, how: u8, at: usize, log: Log) -> Vec<ReceiptEnvelope> {
    let index = at % receipts.len();
    let old = receipts[index].clone();
    let with = |logs| receipt(old.tx_type() as u8, old.cumulative_gas_used(), logs);
    match how % 5 {
        0 => drop(receipts.remove(index)),
        1 => receipts.push(old),
        2 => receipts[index] = with([old.logs(), &[log]].concat()),
        3 => receipts[index] = with(old.logs().iter().skip(1).cloned().collect()),
        _ => {
            receipts[index] = receipt(
                old.tx_type() as u8 + 1,
                old.cumulative_gas_used(),
                old.logs().to_vec(),
            )
        }
    }
    receipts
}

proptest! {
    #[test]
    fn c3_receipts_are_taken_whole_and_unchanged_or_not_at_all(
        honest in receipts(), how: u8, at: usize, extra in log(),
    ) {
        let header = header(&honest);
        let proven = ProvenReceipts::new(&header, honest.clone()).unwrap();
        let logs: Vec<&Log> = honest.iter().flat_map(|receipt| receipt.logs()).collect();
        prop_assert_eq!(proven.logs().map(|proven| proven.log).collect::<Vec<_>>(), logs.clone());
        prop_assert!(proven.logs().map(|proven| proven.index).eq(0..logs.len() as u64));
        for log in logs {
            prop_assert!(may_hold_log_of(&header.fields().logs_bloom, log.address), "a log is never overlooked");
            prop_assert!(log.topics().iter().all(|topic| may_hold_topic(&header.fields().logs_bloom, *topic)));
        }
        if !honest.is_empty() {
            let changed = changed(honest.clone(), how, at, extra);
            let refused = ProvenReceipts::new(&header, changed.clone());
            prop_assert_eq!(refused.is_err(), changed != honest);
        }
    }
}

#[test]
fn c3_more_receipts_than_a_block_can_hold_are_refused_before_they_are_hashed() {
    // More logs than the block's gas pays for.
    let log = Log::new_unchecked(Address::ZERO, Vec::new(), Bytes::new());
    let logs = vec![receipt(0, 1, vec![log; 80_001])];
    let refused = ProvenReceipts::new(&header(&logs), logs);
    assert!(matches!(refused, Err(PolicyError::TooLarge { .. })));
    let many = vec![receipt(0, 1, Vec::new()); MAX_RECEIPTS + 1];
    let refused = ProvenReceipts::new(&header(&[]), many);
    assert!(
        matches!(refused, Err(PolicyError::TooLarge { .. })),
        "{refused:?}"
    );
}
