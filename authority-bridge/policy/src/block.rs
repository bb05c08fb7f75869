//! The block a contract sees, which remembers whether the contract looked at anything but its time. An answer that depends
//! on the height of its block says nothing about the next one.

use crate::ProvenHeader;
use alloy_primitives::{Address, B256, U256};
use revm::{
    context::BlockEnv,
    context_interface::block::{BlobExcessGasAndPrice, Block},
};
use std::cell::Cell;

/// Header values for the EVM, and a mark that one of them was read.
#[derive(Debug, Clone)]
pub(crate) struct WatchedBlock {
    env: BlockEnv,
    read: Cell<bool>,
    blob_fee: Cell<bool>,
}

impl WatchedBlock {
    pub(crate) fn new(header: &ProvenHeader) -> Self {
        let fields = header.fields();
        let env = BlockEnv {
            number: U256::from(fields.number),
            beneficiary: fields.beneficiary,
            timestamp: U256::from(fields.timestamp),
            gas_limit: fields.gas_limit,
            basefee: fields.base_fee_per_gas.unwrap_or_default(),
            difficulty: fields.difficulty,
            prevrandao: fields.difficulty.is_zero().then_some(fields.mix_hash),
            // Not computed: the formula's parameter is not in the header, and its cost grows with a number that is.
            blob_excess_gas_and_price: fields
                .excess_blob_gas
                .map(|excess_blob_gas| BlobExcessGasAndPrice {
                    excess_blob_gas,
                    blob_gasprice: 1,
                }),
            slot_num: fields.slot_number.unwrap_or_default(),
        };
        Self {
            env,
            read: Cell::new(false),
            blob_fee: Cell::new(false),
        }
    }

    /// Forgets what was read so far: the EVM itself looks at the block before the contract runs.
    pub(crate) fn forget(&self) {
        self.read.set(false);
        self.blob_fee.set(false);
    }
    /// Whether anything was read since.
    pub(crate) fn was_read(&self) -> bool {
        self.read.get()
    }
    /// Whether the blob base fee was read, which is not known here.
    pub(crate) fn was_blob_fee_read(&self) -> bool {
        self.blob_fee.get()
    }
    fn watched(&self) -> &BlockEnv {
        self.read.set(true);
        &self.env
    }
}

impl Block for WatchedBlock {
    fn number(&self) -> U256 {
        self.watched().number
    }
    fn beneficiary(&self) -> Address {
        self.watched().beneficiary
    }
    fn timestamp(&self) -> U256 {
        // What the contract makes of it is followed by `TimeWatch`.
        self.env.timestamp
    }
    fn gas_limit(&self) -> u64 {
        self.watched().gas_limit
    }
    fn basefee(&self) -> u64 {
        self.watched().basefee
    }
    fn difficulty(&self) -> U256 {
        self.watched().difficulty
    }
    fn prevrandao(&self) -> Option<B256> {
        self.watched().prevrandao
    }
    fn blob_excess_gas_and_price(&self) -> Option<BlobExcessGasAndPrice> {
        self.blob_fee.set(true);
        self.watched().blob_excess_gas_and_price
    }
    fn slot_num(&self) -> u64 {
        self.watched().slot_num
    }
}
