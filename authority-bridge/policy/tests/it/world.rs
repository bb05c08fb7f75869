//! A world state small enough to build its tries here, with proofs for everything in it.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, KECCAK_EMPTY, Nibbles, TrieAccount, proof::ProofRetainer};
use authority_policy::{AccountEvidence, EvmRules, HardforkRule, ProvenHeader, ProvenState, SlotEvidence};
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub struct Account {
    pub nonce: u64,
    pub balance: U256,
    pub code: Bytes,
    pub storage: BTreeMap<B256, U256>,
}

#[derive(Clone, Default)]
pub struct World {
    pub accounts: BTreeMap<Address, Account>,
    pub time: u64,
}

pub const RULES: EvmRules = EvmRules {
    chain_id: 31337,
    hardfork: HardforkRule::HeaderShape,
    gas_limit: 1_000_000,
};

pub fn address(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

/// Root and proof of one key.
fn trie(leaves: BTreeMap<B256, Vec<u8>>, key: B256) -> (B256, Vec<Bytes>) {
    let path = Nibbles::unpack(key);
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![path]));
    for (key, value) in &leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().matching_nodes_sorted(&path);
    (root, nodes.into_iter().map(|(_, node)| node).collect())
}

impl World {
    /// Contracts at addresses 0x01…, 0x02… with the given code.
    pub fn of(codes: &[&[u8]]) -> Self {
        let mut world = Self::default();
        for (index, code) in codes.iter().enumerate() {
            let account = Account {
                nonce: 1,
                code: Bytes::copy_from_slice(code),
                ..Account::default()
            };
            world.accounts.insert(address(0x11 * (index as u8 + 1)), account);
        }
        world
    }

    pub fn set(&mut self, address: Address, slot: u64, value: u64) {
        let storage = &mut self.accounts.get_mut(&address).unwrap().storage;
        storage.insert(B256::from(U256::from(slot)), U256::from(value));
        storage.retain(|_, value| !value.is_zero());
    }

    fn storage(&self, address: Address, slot: B256) -> (B256, Vec<Bytes>) {
        let storage = self
            .accounts
            .get(&address)
            .map(|account| account.storage.clone())
            .unwrap_or_default();
        let leaf = |(slot, value): (B256, U256)| (keccak256(slot), alloy_rlp::encode(value));
        trie(storage.into_iter().map(leaf).collect(), keccak256(slot))
    }

    fn trie_account(&self, address: Address) -> TrieAccount {
        let account = &self.accounts[&address];
        let code_hash = if account.code.is_empty() {
            KECCAK_EMPTY
        } else {
            keccak256(&account.code)
        };
        TrieAccount::new(
            account.nonce,
            account.balance,
            self.storage(address, B256::ZERO).0,
            code_hash,
        )
    }

    fn state(&self, key: Address) -> (B256, Vec<Bytes>) {
        let leaf = |address: &Address| (keccak256(address), alloy_rlp::encode(self.trie_account(*address)));
        trie(self.accounts.keys().map(leaf).collect(), keccak256(key))
    }

    pub fn fields(&self, number: u64) -> Header {
        Header {
            number,
            timestamp: 1_800_000_000 + self.time,
            state_root: self.state(Address::ZERO).0,
            gas_limit: 30_000_000,
            base_fee_per_gas: Some(7),
            withdrawals_root: Some(EMPTY_ROOT_HASH),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(B256::ZERO),
            ..Header::default()
        }
    }

    pub fn header(&self, number: u64) -> ProvenHeader {
        let fields = self.fields(number);
        let hash = fields.hash_slow();
        ProvenHeader::new(fields, hash).unwrap()
    }

    pub fn account(&self, address: Address) -> AccountEvidence {
        let account = match self.accounts.contains_key(&address) {
            true => self.trie_account(address),
            false => TrieAccount::default(),
        };
        AccountEvidence {
            address,
            nonce: account.nonce,
            balance: account.balance,
            storage_root: account.storage_root,
            code_hash: account.code_hash,
            proof: self.state(address).1,
        }
    }

    pub fn slot(&self, address: Address, slot: u64) -> SlotEvidence {
        let slot = B256::from(U256::from(slot));
        let storage = self.accounts.get(&address).map(|account| &account.storage);
        SlotEvidence {
            slot,
            value: storage
                .and_then(|storage| storage.get(&slot))
                .copied()
                .unwrap_or_default(),
            proof: self.storage(address, slot).1,
        }
    }

    /// Proves every account with its code, and no slot.
    pub fn proven(&self, number: u64) -> ProvenState {
        let mut state = ProvenState::new(self.header(number));
        for (address, account) in &self.accounts {
            state.add_account(&self.account(*address)).unwrap();
            state.add_code(*address, account.code.clone()).unwrap();
        }
        state
    }
}
