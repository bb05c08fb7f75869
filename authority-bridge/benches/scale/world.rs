//! A chain with many apps: the contracts and one app as real transactions on Anvil left them, and that app again under as
//! many addresses as wanted, each registered. A block changes apps between the two states the real app had.

use crate::trie::Trie;
use alloy::{
    consensus::{EMPTY_ROOT_HASH, Header},
    primitives::{Address, B256, Bytes, U256, keccak256, map::HashMap},
    rlp::{Encodable, encode},
    rpc::types::{EIP1186AccountProofResponse, EIP1186StorageProof},
    serde::JsonStorageKey,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{SystemTime, UNIX_EPOCH},
};

/// Blocks the world remembers; finalized is two behind the head.
const KEPT: usize = 300;
const FINAL_DEPTH: u64 = 2;

/// An account as Anvil dumps it.
#[derive(Deserialize, Clone)]
pub struct Dumped {
    pub nonce: U256,
    pub balance: U256,
    pub code: Bytes,
    #[serde(default)]
    pub storage: BTreeMap<B256, B256>,
}

pub type Dump = BTreeMap<Address, Dumped>;

/// What is copied.
pub struct Template {
    /// State in which the app allows.
    pub allowed: Dump,
    /// State in which it does not any more.
    pub revoked: Dump,
    pub contract: Address,
    pub app: Address,
}

#[derive(Clone)]
pub struct Account {
    nonce: u64,
    balance: U256,
    pub code: Bytes,
    code_hash: B256,
    storage: Trie<U256>,
}

#[derive(Clone)]
pub struct Block {
    pub header: Header,
    pub hash: B256,
    pub accounts: Trie<Account>,
}

pub struct World {
    blocks: VecDeque<Block>,
    by_hash: HashMap<B256, u64>,
    allowed: Account,
    revoked: Account,
}

/// What the next block is made of.
pub struct Before {
    accounts: Trie<Account>,
    number: u64,
    allowed: Account,
    revoked: Account,
}

/// Address of an app.
pub fn app(index: usize) -> Address {
    Address::from_slice(&keccak256(format!("app {index}"))[12..])
}

fn storage(slots: &BTreeMap<B256, B256>) -> Trie<U256> {
    let mut trie = Trie::default();
    for (slot, value) in slots {
        put(&mut trie, *slot, U256::from_be_bytes(value.0));
    }
    trie
}

fn put(trie: &mut Trie<U256>, slot: B256, value: U256) {
    if !value.is_zero() {
        trie.insert(keccak256(slot), encode(value), value);
    }
}

impl Account {
    fn of(dumped: &Dumped) -> Self {
        Self {
            nonce: dumped.nonce.to(),
            balance: dumped.balance,
            code_hash: keccak256(&dumped.code),
            code: dumped.code.clone(),
            storage: storage(&dumped.storage),
        }
    }

    fn rlp(&self) -> Vec<u8> {
        let mut items = Vec::new();
        self.nonce.encode(&mut items);
        self.balance.encode(&mut items);
        self.storage.root().encode(&mut items);
        self.code_hash.encode(&mut items);
        let mut out = Vec::new();
        let payload_length = items.len();
        alloy::rlp::Header {
            list: true,
            payload_length,
        }
        .encode(&mut out);
        out.extend(items);
        out
    }
}

fn set(accounts: &mut Trie<Account>, address: Address, account: Account) {
    accounts.insert(keccak256(address), account.rlp(), account);
}

/// The slot of the contract in which the app is registered: a mapping from its address at some low slot.
fn registration(template: &Template) -> (U256, B256) {
    let slots = &template.allowed[&template.contract].storage;
    let found = (0..2048u64).find_map(|at| {
        let value = slots.get(&mapped(template.app, U256::from(at)))?;
        Some((U256::from(at), *value))
    });
    found.expect("the app's registration is in the contract's storage")
}

fn mapped(key: Address, at: U256) -> B256 {
    keccak256([key.into_word().0, at.to_be_bytes()].concat())
}

impl Before {
    /// The accounts after these apps changed. No state comes twice, so that nothing of it is known from before.
    pub fn changed(self, apps: &[usize], revoke: bool) -> Trie<Account> {
        let mut accounts = self.accounts;
        for index in apps {
            let mut account = if revoke { &self.revoked } else { &self.allowed }.clone();
            put(&mut account.storage, keccak256("unused"), U256::from(self.number));
            set(&mut accounts, app(*index), account);
        }
        accounts
    }
}

impl World {
    pub fn new(template: &Template, apps: usize) -> Self {
        let allowed = Account::of(&template.allowed[&template.app]);
        let revoked = Account::of(&template.revoked[&template.app]);
        assert_ne!(allowed.storage.root(), revoked.storage.root());
        let mut accounts = Trie::default();
        for (address, dumped) in &template.allowed {
            set(&mut accounts, *address, Account::of(dumped));
        }
        let (at, value) = registration(template);
        let mut authority = Account::of(&template.allowed[&template.contract]);
        for index in 0..apps {
            set(&mut accounts, app(index), allowed.clone());
            let slot = mapped(app(index), at);
            put(&mut authority.storage, slot, U256::from_be_bytes(value.0));
        }
        set(&mut accounts, template.contract, authority);
        let mut world = Self {
            blocks: VecDeque::new(),
            by_hash: HashMap::default(),
            allowed,
            revoked,
        };
        for _ in 0..=FINAL_DEPTH {
            world.seal(accounts.clone());
        }
        world
    }

    pub fn before(&self) -> Before {
        let head = self.head();
        Before {
            accounts: head.accounts.clone(),
            number: head.header.number,
            allowed: self.allowed.clone(),
            revoked: self.revoked.clone(),
        }
    }

    /// The next block.
    pub fn seal(&mut self, accounts: Trie<Account>) -> u64 {
        let parent = self
            .blocks
            .back()
            .map(|block| (block.hash, block.header.number, block.header.timestamp));
        let (parent_hash, number, time) = parent.map_or((B256::ZERO, 1, 0), |(h, n, t)| (h, n + 1, t));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = Header {
            number,
            parent_hash,
            timestamp: now.max(time),
            state_root: accounts.root(),
            gas_limit: 30_000_000,
            base_fee_per_gas: Some(7),
            withdrawals_root: Some(EMPTY_ROOT_HASH),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(B256::ZERO),
            ..Header::default()
        };
        let hash = header.hash_slow();
        self.by_hash.insert(hash, number);
        self.blocks.push_back(Block {
            header,
            hash,
            accounts,
        });
        if self.blocks.len() > KEPT
            && let Some(old) = self.blocks.pop_front()
        {
            self.by_hash.remove(&old.hash);
        }
        number
    }

    pub fn head(&self) -> &Block {
        self.blocks.back().unwrap()
    }

    pub fn finalized(&self) -> &Block {
        self.by_number(self.head().header.number - FINAL_DEPTH).unwrap()
    }

    pub fn by_number(&self, number: u64) -> Option<&Block> {
        let first = self.blocks.front()?.header.number;
        self.blocks.get(number.checked_sub(first)? as usize)
    }

    pub fn by_hash(&self, hash: B256) -> Option<&Block> {
        self.by_number(*self.by_hash.get(&hash)?)
    }
}

impl Block {
    pub fn code(&self, address: Address) -> Bytes {
        let leaf = self.accounts.get(keccak256(address));
        leaf.map(|leaf| leaf.of.code.clone()).unwrap_or_default()
    }

    pub fn proof(&self, address: Address, slots: &[B256]) -> EIP1186AccountProofResponse {
        let (account_proof, leaf) = self.accounts.prove(keccak256(address));
        let account = leaf.map(|leaf| &*leaf.of);
        let storage_proof = |slot: &B256| {
            let proven = account.map(|account| account.storage.prove(keccak256(slot)));
            let (proof, leaf) = proven.unwrap_or_default();
            EIP1186StorageProof {
                key: JsonStorageKey::Hash(*slot),
                value: leaf.map(|leaf| *leaf.of).unwrap_or_default(),
                proof,
            }
        };
        EIP1186AccountProofResponse {
            address,
            balance: account.map(|account| account.balance).unwrap_or_default(),
            code_hash: account.map(|account| account.code_hash).unwrap_or_default(),
            nonce: account.map(|account| account.nonce).unwrap_or_default(),
            storage_hash: account.map_or(EMPTY_ROOT_HASH, |account| account.storage.root()),
            account_proof,
            storage_proof: slots.iter().map(storage_proof).collect(),
        }
    }
}
