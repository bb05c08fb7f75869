//! State proven at one block: a header and whatever its state root leads to. Nothing else can put a value into it, and a
//! state of the next block needs new proofs only for what changed, since unchanged parts of a trie keep their hashes.

use crate::{
    AccountEvidence, MAX_CODE, Missing, PolicyError, ProvenHeader, Reads, SlotEvidence, TrieNodes, Witness,
    evidence::{at_most, bounded},
    trie::Broken,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};
use revm::bytecode::Bytecode;
use std::{collections::BTreeMap, sync::Arc};

/// Accounts, code and slots proven against one header. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct ProvenState {
    header: Arc<ProvenHeader>,
    nodes: Arc<TrieNodes>,
}

impl ProvenState {
    /// The state at a header, as far as `nodes` prove it.
    pub fn new(header: impl Into<Arc<ProvenHeader>>, nodes: Arc<TrieNodes>) -> Self {
        let header = header.into();
        Self { header, nodes }
    }

    /// The header everything here is proven against.
    pub fn header(&self) -> &ProvenHeader {
        &self.header
    }
    /// The same, shared.
    pub fn shared_header(&self) -> Arc<ProvenHeader> {
        Arc::clone(&self.header)
    }
    /// Where the proofs are.
    pub const fn nodes(&self) -> &Arc<TrieNodes> {
        &self.nodes
    }

    /// Proves an account, or that there is none.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`] when the proof is above its bounds; [`PolicyError::AccountProof`] when it does not
    /// lead from the header's state root to the account or its absence, or a claimed field is another than the proven.
    pub fn add_account(&self, evidence: &AccountEvidence) -> Result<(), PolicyError> {
        bounded(&evidence.proof)?;
        let state_root = self.header.state_root();
        let key = keccak256(evidence.address);
        let checked = |leaf: Option<&[u8]>| {
            let proven = leaf.map(account).transpose()?.unwrap_or_default();
            claims(evidence, &proven)
        };
        self.nodes
            .extend(state_root, &key, &evidence.proof, checked)
            .map_err(|detail| PolicyError::AccountProof {
                address: evidence.address,
                state_root,
                detail,
            })
    }

    /// Takes the code of a proven account.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`] when it is above [`MAX_CODE`]; [`PolicyError::AccountFirst`] when the account is not
    /// proven; [`PolicyError::CodeHash`] when the account has other code.
    pub fn add_code(&self, address: Address, code: Bytes) -> Result<(), PolicyError> {
        at_most("bytes of contract code", MAX_CODE, code.len())?;
        let account = self
            .account(address)
            .map_err(|_| PolicyError::AccountFirst(address))?;
        let expected = account.map_or(KECCAK_EMPTY, |account| account.code_hash);
        let actual = keccak256(&code);
        // C3: other code under a proven account would decide in the contract's name.
        if actual != expected {
            return Err(PolicyError::CodeHash {
                address,
                expected,
                actual,
            });
        }
        if code.is_empty() {
            return Ok(());
        }
        self.nodes.add_code(actual, &code)
    }

    /// Proves a slot of a proven account.
    ///
    /// # Errors
    /// [`PolicyError::AccountFirst`] when the account is not proven; [`PolicyError::TooLarge`] when the proof is above
    /// its bounds; [`PolicyError::SlotProof`] when it does not lead from the account's storage root to the value.
    pub fn add_slot(&self, address: Address, evidence: &SlotEvidence) -> Result<(), PolicyError> {
        let account = self
            .account(address)
            .map_err(|_| PolicyError::AccountFirst(address))?;
        bounded(&evidence.proof)?;
        let storage_root = account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        let checked = |leaf: Option<&[u8]>| {
            let proven = leaf.map(word).transpose()?.unwrap_or_default();
            same("value", proven, evidence.value)
        };
        self.nodes
            .extend(storage_root, &keccak256(evidence.slot), &evidence.proof, checked)
            .map_err(|detail| PolicyError::SlotProof {
                address,
                slot: evidence.slot,
                storage_root,
                detail,
            })
    }

    /// An account, or that there is none. An empty account is none (EIP-161); Anvil may keep a leaf for one.
    ///
    /// # Errors
    /// [`Missing::Account`] when that is not proven.
    pub fn account(&self, address: Address) -> Result<Option<TrieAccount>, Missing> {
        let inner = self.nodes.read();
        let missing = Missing::Account(address);
        match inner.find(self.header.state_root(), &keccak256(address), |_, _| ()) {
            Ok(leaf) => Ok(leaf
                .map(account)
                .transpose()
                .map_err(|_| missing)?
                .filter(|account| *account != TrieAccount::default())),
            // C3: bytes under the right hash that are no node cannot be read either way.
            Err(Broken::Unknown(_) | Broken::Malformed) => Err(missing),
        }
    }

    /// Value of a slot.
    ///
    /// # Errors
    /// [`Missing`] when the account or the slot is not proven.
    pub fn slot(&self, address: Address, slot: B256) -> Result<U256, Missing> {
        let root = self.account(address)?.map(|account| account.storage_root);
        self.slot_under(root.unwrap_or(EMPTY_ROOT_HASH), address, slot)
    }

    pub(crate) fn slot_under(&self, root: B256, address: Address, slot: B256) -> Result<U256, Missing> {
        let missing = Missing::Slot { address, slot };
        let inner = self.nodes.read();
        let leaf = inner
            .find(root, &keccak256(slot), |_, _| ())
            .map_err(|_| missing)?;
        Ok(leaf
            .map(word)
            .transpose()
            .map_err(|_| missing)?
            .unwrap_or_default())
    }

    /// Code by its hash.
    pub(crate) fn code(&self, hash: B256) -> Option<Bytecode> {
        self.nodes.read().codes.get(&hash).cloned()
    }

    /// What proves everything an execution over this state read.
    ///
    /// # Errors
    /// [`Missing`] when some of it is not proven here.
    pub fn witness(&self, reads: &Reads) -> Result<Witness, Missing> {
        let (mut nodes, mut codes) = (BTreeMap::new(), BTreeMap::new());
        let mut roots = BTreeMap::new();
        let inner = self.nodes.read();
        let mut met = |hash: B256, node: &[u8]| {
            nodes.entry(hash).or_insert_with(|| Bytes::copy_from_slice(node));
        };
        for address in reads.accounts() {
            let missing = Missing::Account(address);
            let found = inner.find(self.header.state_root(), &keccak256(address), &mut met);
            let leaf = found.map_err(|_| missing)?.map(account).transpose();
            let proven = leaf.map_err(|_| missing)?.unwrap_or_default();
            roots.insert(address, proven.storage_root);
            if let Some(code) = inner.codes.get(&proven.code_hash) {
                codes.insert(proven.code_hash, code.original_bytes());
            }
        }
        for (address, slot) in reads.slots() {
            let missing = Missing::Slot { address, slot };
            let root = *roots.get(&address).ok_or(missing)?;
            inner
                .find(root, &keccak256(slot), &mut met)
                .map_err(|_| missing)?;
        }
        Ok(Witness {
            nodes: nodes.into_values().collect(),
            codes: codes.into_values().collect(),
        })
    }
}

pub(crate) fn account(leaf: &[u8]) -> Result<TrieAccount, String> {
    let mut rest = leaf;
    match TrieAccount::decode(&mut rest) {
        Ok(account) if rest.is_empty() => Ok(account),
        _ => Err("expected an account at the leaf, got other bytes".to_owned()),
    }
}

fn word(leaf: &[u8]) -> Result<U256, String> {
    let mut rest = leaf;
    match U256::decode(&mut rest) {
        Ok(value) if rest.is_empty() => Ok(value),
        _ => Err("expected a number at the leaf, got other bytes".to_owned()),
    }
}

// C3: a provider that claims other values than its own proof shows is lying, whatever the values are used for.
fn claims(evidence: &AccountEvidence, proven: &TrieAccount) -> Result<(), String> {
    // Providers write an absent account with zero hashes or with the hashes of emptiness.
    let or = |hash: B256, empty: B256| if hash.is_zero() { empty } else { hash };
    same("nonce", proven.nonce, evidence.nonce)?;
    same("balance", proven.balance, evidence.balance)?;
    let storage_root = or(evidence.storage_root, EMPTY_ROOT_HASH);
    same("storageHash", proven.storage_root, storage_root)?;
    same("codeHash", proven.code_hash, or(evidence.code_hash, KECCAK_EMPTY))
}

fn same<T: PartialEq + std::fmt::Display>(field: &str, proven: T, claimed: T) -> Result<(), String> {
    if proven == claimed {
        return Ok(());
    }
    Err(format!("{field}: expected the proven {proven}, got {claimed}"))
}
