//! Proven state as the EVM's database: records every read, and stops at the first thing that is not proven.

use crate::{Missing, ProvenState, Reads};
use alloy_primitives::{Address, B256, U256};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};
use revm::{Database, bytecode::Bytecode, state::AccountInfo};

/// One execution's view of a [`ProvenState`].
#[derive(Debug)]
pub(crate) struct View<'a> {
    state: &'a ProvenState,
    pub(crate) reads: Reads,
    /// Set once and never cleared: whatever the EVM makes of a failed read, the caller sees it.
    pub(crate) missing: Option<Missing>,
}

impl<'a> View<'a> {
    pub(crate) fn new(state: &'a ProvenState) -> Self {
        Self {
            state,
            reads: Reads::default(),
            missing: None,
        }
    }

    // C3: nothing unproven is ever answered, not even with a default.
    fn stop<T>(&mut self, missing: Missing) -> Result<T, Missing> {
        Err(*self.missing.get_or_insert(missing))
    }
}

impl Database for View<'_> {
    type Error = Missing;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Missing> {
        let account = match self.state.account(address) {
            Ok(account) => account,
            Err(missing) => return self.stop(missing),
        };
        self.reads.accounts.insert(address, account);
        Ok(account.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: self.state.code(account.code_hash),
            ..Default::default()
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Missing> {
        if code_hash == KECCAK_EMPTY {
            return Ok(Bytecode::default());
        }
        match self.state.code(code_hash) {
            Some(code) => Ok(code),
            None => {
                let address = self.reads.owner_of(code_hash).unwrap_or_default();
                self.stop(Missing::Code { address, code_hash })
            }
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Missing> {
        let slot = B256::from(slot);
        // The EVM has loaded the account before it reads its storage.
        let value = match self.reads.accounts.get(&address) {
            Some(account) => {
                let root = account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
                self.state.slot_under(root, address, slot)
            }
            None => self.state.slot(address, slot),
        };
        let value = match value {
            Ok(value) => value,
            Err(missing) => return self.stop(missing),
        };
        self.reads.slots.insert((address, slot), value);
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Missing> {
        self.stop(Missing::BlockHash(number))
    }
}
