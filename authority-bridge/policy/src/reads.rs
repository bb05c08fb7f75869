//! What one execution read. An answer holds at another block exactly when all of it is still the same there and the
//! block itself was not looked at.

use crate::ProvenState;
use alloy_primitives::{Address, B256, U256};
use alloy_trie::TrieAccount;
use std::collections::HashMap;

/// The part of an account an execution can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccountFacts {
    nonce: u64,
    balance: U256,
    code_hash: B256,
}

impl From<&TrieAccount> for AccountFacts {
    fn from(account: &TrieAccount) -> Self {
        Self {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
        }
    }
}

/// Accounts and slots with the values they had, and whether the block's own fields were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    pub(crate) accounts: HashMap<Address, Option<AccountFacts>>,
    pub(crate) slots: HashMap<(Address, B256), U256>,
    pub(crate) block: bool,
}

impl Reads {
    /// Accounts that were read.
    pub fn accounts(&self) -> impl Iterator<Item = Address> + '_ {
        self.accounts.keys().copied()
    }
    /// Slots that were read.
    pub fn slots(&self) -> impl Iterator<Item = (Address, B256)> + '_ {
        self.slots.keys().copied()
    }
    /// Whether time, height or another field of the block was read.
    pub const fn block(&self) -> bool {
        self.block
    }
    /// Whether the same execution over `state` must give the same answer.
    pub fn hold_in(&self, state: &ProvenState) -> bool {
        !self.block
            && self
                .accounts
                .iter()
                .all(|(address, facts)| state.facts(*address).as_ref() == Some(facts))
            && self
                .slots
                .iter()
                .all(|((address, slot), value)| state.slot(*address, *slot) == Some(*value))
    }
}
