//! What one execution read. An answer holds at another block exactly when all of it is still the same there and the
//! block's time is in the window in which the execution takes the same course.

use crate::{EvmRules, Hardfork, ProvenState, TimeWindow};
use alloy_primitives::{Address, B256, U256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use std::collections::BTreeMap;

/// Accounts and slots with the values they had, the block times the execution holds for, and the rules it ran by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    pub(crate) accounts: BTreeMap<Address, Option<TrieAccount>>,
    pub(crate) slots: BTreeMap<(Address, B256), U256>,
    pub(crate) window: Option<TimeWindow>,
    pub(crate) fork: Option<Hardfork>,
    /// Who is paid for the block: warm from the start (EIP-3651), so that reaching it costs less gas.
    pub(crate) beneficiary: Address,
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
    /// Times of blocks at which the execution is the same; `None` when it depends on the very block.
    pub const fn window(&self) -> Option<TimeWindow> {
        self.window
    }
    /// Number of accounts and slots.
    pub fn size(&self) -> usize {
        self.accounts.len() + self.slots.len()
    }
    /// Whether the same execution over `state` must give the same answer. Slots of an account whose storage root is the
    /// same are the same.
    pub fn hold_in(&self, state: &ProvenState, rules: &EvmRules) -> bool {
        let time = state.header().timestamp().0;
        self.fork == Some(rules.hardfork.at(state.header()))
            && self.window.is_some_and(|window| window.contains(time))
            && self.costs_the_same(state.header().fields().beneficiary)
            && self
                .accounts
                .iter()
                .all(|(address, before)| self.account_holds(*address, before.as_ref(), state))
    }

    /// A contract can see what gas is left, so an account must be as warm as it was.
    fn costs_the_same(&self, beneficiary: Address) -> bool {
        let touched = |address| self.accounts.contains_key(address);
        self.beneficiary == beneficiary || !(touched(&self.beneficiary) || touched(&beneficiary))
    }

    fn account_holds(&self, address: Address, before: Option<&TrieAccount>, state: &ProvenState) -> bool {
        let Ok(now) = state.account(address) else {
            return false;
        };
        // The part of an account an execution can see; its storage root is not.
        let seen = |account: &TrieAccount| (account.nonce, account.balance, account.code_hash);
        if before.map(seen) != now.as_ref().map(seen) {
            return false;
        }
        let root = |account: Option<&TrieAccount>| account.map_or(EMPTY_ROOT_HASH, |a| a.storage_root);
        let now = root(now.as_ref());
        root(before) == now
            || self
                .slots
                .range((address, B256::ZERO)..=(address, B256::repeat_byte(0xff)))
                .all(|((_, slot), value)| state.slot_under(now, address, *slot) == Ok(*value))
    }

    /// An account that was read and has this code.
    pub(crate) fn owner_of(&self, code_hash: B256) -> Option<Address> {
        self.accounts
            .iter()
            .find(|(_, account)| account.is_some_and(|account| account.code_hash == code_hash))
            .map(|(address, _)| *address)
    }
}
