//! A world state small enough to build its tries here, with proofs for everything in it.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, KECCAK_EMPTY, Nibbles, TrieAccount, proof::ProofRetainer};
use authority_policy::{
    AccountEvidence, EvmRules, HardforkRule, ProvenHeader, ProvenState, SlotEvidence, TrieNodes,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

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

/// Accounts nobody asks for.
static STRANGERS: LazyLock<BTreeMap<B256, Vec<u8>>> = LazyLock::new(|| {
    let account = TrieAccount::new(1, U256::from(1), EMPTY_ROOT_HASH, KECCAK_EMPTY);
    let stranger = alloy_rlp::encode(account);
    (0..64u8)
        .map(|index| (keccak256([index]), stranger.clone()))
        .collect()
});

pub fn address(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

/// Root and proofs of some keys.
fn trie(leaves: BTreeMap<B256, Vec<u8>>, keys: &[B256]) -> (B256, Vec<Vec<Bytes>>) {
    let paths: Vec<Nibbles> = keys.iter().map(Nibbles::unpack).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(paths.clone()));
    for (key, value) in &leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes();
    let proof = |path: &Nibbles| {
        let nodes = nodes.matching_nodes_sorted(path);
        nodes.into_iter().map(|(_, node)| node).collect()
    };
    (root, paths.iter().map(proof).collect())
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

    fn storage(&self, address: Address, slots: &[B256]) -> (B256, Vec<Vec<Bytes>>) {
        let storage = self
            .accounts
            .get(&address)
            .map(|account| account.storage.clone())
            .unwrap_or_default();
        let leaf = |(slot, value): (B256, U256)| (keccak256(slot), alloy_rlp::encode(value));
        let keys: Vec<B256> = slots.iter().map(keccak256).collect();
        trie(storage.into_iter().map(leaf).collect(), &keys)
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
            self.storage(address, &[]).0,
            code_hash,
        )
    }

    fn state(&self, key: Address) -> (B256, Vec<Bytes>) {
        let leaf = |address: &Address| (keccak256(address), alloy_rlp::encode(self.trie_account(*address)));
        let mut leaves: BTreeMap<_, _> = self.accounts.keys().map(leaf).collect();
        if !leaves.is_empty() {
            // So that the path of one account does not show the absence of every other.
            leaves.extend(STRANGERS.clone());
        }
        let (root, mut proofs) = trie(leaves, &[keccak256(key)]);
        (root, proofs.remove(0))
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
        self.slots(address, &[slot]).remove(0)
    }

    pub fn slots(&self, address: Address, slots: &[u64]) -> Vec<SlotEvidence> {
        let slots: Vec<B256> = slots.iter().map(|slot| B256::from(U256::from(*slot))).collect();
        let storage = self.accounts.get(&address).map(|account| &account.storage);
        let value = |slot: &B256| storage.and_then(|storage| storage.get(slot)).copied();
        let proofs = self.storage(address, &slots).1;
        let evidence = |(slot, proof): (&B256, _)| SlotEvidence {
            slot: *slot,
            value: value(slot).unwrap_or_default(),
            proof,
        };
        slots.iter().zip(proofs).map(evidence).collect()
    }

    /// Proves every account with its code, and no slot.
    pub fn proven(&self, number: u64) -> ProvenState {
        self.proven_in(number, Arc::default())
    }

    /// The same, beside what `nodes` hold already.
    pub fn proven_in(&self, number: u64, nodes: Arc<TrieNodes>) -> ProvenState {
        let state = ProvenState::new(self.header(number), nodes);
        for (address, account) in &self.accounts {
            state.add_account(&self.account(*address)).unwrap();
            state.add_code(*address, account.code.clone()).unwrap();
        }
        state
    }
}
