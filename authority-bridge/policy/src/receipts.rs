//! Receipts proven by a header: all of a block, none invented, none left out. Refused: receipts that do not give the
//! header's receipts root, and more than a block can hold.

use crate::{PolicyError, ProvenHeader, evidence::at_most};
use alloy_consensus::{ReceiptEnvelope, proofs::calculate_receipt_root};
use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};

/// Receipts of one block: a transaction takes 21,000 gas, so a block of 300 million has fewer.
pub const MAX_RECEIPTS: usize = 16 * 1024;
/// Least gas of a log.
const LOG_GAS: u64 = 375;

/// Every receipt of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenReceipts {
    block: B256,
    receipts: Vec<ReceiptEnvelope>,
}

/// A log and where it stands in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenLog<'a> {
    /// Index of the transaction in the block.
    pub transaction: u64,
    /// Index of the log in the block.
    pub index: u64,
    /// The log.
    pub log: &'a Log,
}

impl ProvenReceipts {
    /// Computes the root of the receipts and compares with the header's.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`] above [`MAX_RECEIPTS`], or more logs than the block's gas pays for; [`PolicyError::ReceiptsRoot`] when they are not
    /// the receipts of that block.
    pub fn new(header: &ProvenHeader, receipts: Vec<ReceiptEnvelope>) -> Result<Self, PolicyError> {
        at_most("receipts of a block", MAX_RECEIPTS, receipts.len())?;
        let logs = receipts.iter().map(|receipt| receipt.logs().len()).sum();
        let most = usize::try_from(header.fields().gas_used / LOG_GAS).unwrap_or(usize::MAX);
        at_most("logs of a block", most, logs)?;
        let (expected, actual) = (header.fields().receipts_root, calculate_receipt_root(&receipts));
        // C2: a provider that hides a log or adds one no longer has the receipts of that header.
        if expected != actual {
            return Err(PolicyError::ReceiptsRoot {
                block: header.number(),
                expected,
                actual,
            });
        }
        Ok(Self {
            block: header.hash(),
            receipts,
        })
    }

    /// Every log in its order.
    pub fn logs(&self) -> impl Iterator<Item = ProvenLog<'_>> {
        (0_u64..)
            .zip(&self.receipts)
            .flat_map(|(transaction, receipt)| receipt.logs().iter().map(move |log| (transaction, log)))
            .zip(0_u64..)
            .map(|((transaction, log), index)| ProvenLog {
                transaction,
                index,
                log,
            })
    }
}

/// Whether a block can hold a log of `emitter`. A no is certain, since the filter stands in the header; a yes is a guess.
pub fn may_hold_log_of(bloom: &Bloom, emitter: Address) -> bool {
    bloom.contains_input(BloomInput::Raw(emitter.as_slice()))
}

/// Whether a block can hold a log with this topic; as [`may_hold_log_of`].
pub fn may_hold_topic(bloom: &Bloom, topic: B256) -> bool {
    bloom.contains_input(BloomInput::Raw(topic.as_slice()))
}
