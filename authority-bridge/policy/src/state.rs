//! State proven at one block. It starts empty from a proven header and grows only by proofs that lead to that header's
//! state root; nothing else can put a value into it.

use crate::{
    AccountEvidence, MAX_CODE, PolicyError, ProvenHeader, SlotEvidence,
    evidence::{at_most, bounded},
    reads::AccountFacts,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles, TrieAccount,
    proof::{ProofVerificationError, verify_proof},
};
use revm::bytecode::Bytecode;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// One proven account: `None` when the proof shows that it does not exist.
#[derive(Debug, Clone)]
struct Entry {
    account: Option<TrieAccount>,
    slots: HashMap<B256, U256>,
}

/// Accounts, code and slots proven against one header. Cloning is cheap: entries are shared.
#[derive(Debug, Clone)]
pub struct ProvenState {
    header: Arc<ProvenHeader>,
    accounts: HashMap<Address, Arc<Entry>>,
    code: HashMap<B256, Bytecode>,
}

impl ProvenState {
    /// Nothing proven yet.
    pub fn new(header: ProvenHeader) -> Self {
        Self {
            header: Arc::new(header),
            accounts: HashMap::new(),
            code: HashMap::new(),
        }
    }

    /// The header everything here is proven against.
    pub fn header(&self) -> &ProvenHeader {
        &self.header
    }

    /// Proves an account, or that there is none.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`] when the proof is above its bounds; [`PolicyError::AccountProof`] when it does not
    /// lead from the header's state root to the account, or to its absence.
    pub fn add_account(&mut self, evidence: &AccountEvidence) -> Result<(), PolicyError> {
        let account = proven_account(self.header.state_root(), evidence)?;
        match self.accounts.get(&evidence.address) {
            Some(known) if known.account == account => {}
            _ => self.insert(evidence.address, account, HashMap::new()),
        }
        Ok(())
    }

    /// Takes the code of a proven account.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`] when it is above [`MAX_CODE`]; [`PolicyError::AccountFirst`] when the account is not
    /// proven; [`PolicyError::CodeHash`] when the account has other code.
    pub fn add_code(&mut self, address: Address, code: Bytes) -> Result<(), PolicyError> {
        at_most("bytes of contract code", MAX_CODE, code.len())?;
        let entry = self
            .accounts
            .get(&address)
            .ok_or(PolicyError::AccountFirst(address))?;
        let expected = entry
            .account
            .as_ref()
            .map_or(KECCAK_EMPTY, |account| account.code_hash);
        let actual = keccak256(&code);
        // C3: other code under a proven account would decide in the contract's name.
        if actual != expected {
            return Err(PolicyError::CodeHash {
                address,
                expected,
                actual,
            });
        }
        if !code.is_empty() && !self.code.contains_key(&actual) {
            // C6: anyone may deploy bytes that look like a delegation and are none; they must not stop the node.
            let bytecode = Bytecode::new_raw_checked(code)
                .map_err(|refused| PolicyError::Evm(format!("code of {address}: {refused}")))?;
            self.code.insert(actual, bytecode);
        }
        Ok(())
    }

    /// Proves a slot of a proven account.
    ///
    /// # Errors
    /// [`PolicyError::AccountFirst`] when the account is not proven; [`PolicyError::TooLarge`] when the proof is above
    /// its bounds; [`PolicyError::SlotProof`] when it does not lead from the account's storage root to the value.
    pub fn add_slot(&mut self, address: Address, evidence: &SlotEvidence) -> Result<(), PolicyError> {
        let entry = self
            .accounts
            .get_mut(&address)
            .ok_or(PolicyError::AccountFirst(address))?;
        let storage_root = entry
            .account
            .as_ref()
            .map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        bounded(&evidence.proof)?;
        // C3: a value the storage root does not lead to is a lie, and so is an absence it contradicts.
        proven_slot(storage_root, evidence).map_err(|refused| PolicyError::SlotProof {
            address,
            slot: evidence.slot,
            storage_root,
            detail: short(&refused.to_string()),
        })?;
        Arc::make_mut(entry).slots.insert(evidence.slot, evidence.value);
        Ok(())
    }

    /// The same knowledge at another block, as far as it can be carried: everything when the state root is the same,
    /// else the accounts proven anew here, with their slots when the storage root is unchanged.
    ///
    /// # Errors
    /// As [`Self::add_account`], for the first of `accounts` whose proof is refused at `next`.
    pub fn advance(&self, next: ProvenHeader, accounts: &[AccountEvidence]) -> Result<Self, PolicyError> {
        if next.state_root() == EMPTY_ROOT_HASH {
            return Ok(Self::new(next));
        }
        let same = next.state_root() == self.header.state_root();
        let mut state = Self {
            header: Arc::new(next),
            accounts: if same {
                self.accounts.clone()
            } else {
                HashMap::new()
            },
            code: self.code.clone(),
        };
        for evidence in accounts {
            let account = proven_account(state.header.state_root(), evidence)?;
            let root = |account: &Option<TrieAccount>| account.as_ref().map(|account| account.storage_root);
            match self.accounts.get(&evidence.address) {
                Some(known) if known.account == account => {
                    state.accounts.insert(evidence.address, Arc::clone(known));
                }
                Some(known) if root(&known.account) == root(&account) => {
                    state.insert(evidence.address, account, known.slots.clone());
                }
                _ => state.insert(evidence.address, account, HashMap::new()),
            }
        }
        Ok(state)
    }

    /// Takes over what another state of the same root has proven.
    ///
    /// # Errors
    /// [`PolicyError::OtherState`] when `other` is of another state root.
    pub fn absorb(&mut self, other: &Self) -> Result<(), PolicyError> {
        if other.header.state_root() != self.header.state_root() {
            return Err(PolicyError::OtherState {
                expected: self.header.state_root(),
                actual: other.header.state_root(),
            });
        }
        for (address, theirs) in &other.accounts {
            match self.accounts.get_mut(address) {
                None => {
                    self.accounts.insert(*address, Arc::clone(theirs));
                }
                Some(ours) if !Arc::ptr_eq(ours, theirs) && !theirs.slots.is_empty() => {
                    Arc::make_mut(ours).slots.extend(&theirs.slots);
                }
                Some(_) => {}
            }
        }
        for (hash, code) in &other.code {
            self.code.entry(*hash).or_insert_with(|| code.clone());
        }
        Ok(())
    }

    /// Forgets accounts and slots that are not in `keep`, and code nothing refers to any more.
    pub fn retain(&mut self, keep: &HashMap<Address, HashSet<B256>>) {
        self.accounts.retain(|address, _| keep.contains_key(address));
        for (address, entry) in &mut self.accounts {
            let wanted = |slot: &B256| keep.get(address).is_some_and(|slots| slots.contains(slot));
            if !entry.slots.keys().all(wanted) {
                Arc::make_mut(entry).slots.retain(|slot, _| wanted(slot));
            }
        }
        let used: HashSet<B256> = self
            .accounts
            .values()
            .filter_map(|entry| Some(entry.account.as_ref()?.code_hash))
            .collect();
        self.code.retain(|hash, _| used.contains(hash));
    }

    /// Addresses proven here, existing or not.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.accounts.keys().copied()
    }
    /// Slots of an account proven here.
    pub fn slots_of(&self, address: Address) -> impl Iterator<Item = B256> + '_ {
        self.accounts
            .get(&address)
            .into_iter()
            .flat_map(|entry| entry.slots.keys().copied())
    }
    /// Number of accounts and of slots proven here.
    pub fn size(&self) -> (usize, usize) {
        (
            self.accounts.len(),
            self.accounts.values().map(|entry| entry.slots.len()).sum(),
        )
    }
    /// Whether the header commits to a state without any account: absence then needs no further proof.
    pub fn is_empty_state(&self) -> bool {
        self.header.state_root() == EMPTY_ROOT_HASH
    }
    /// Storage root of an account: outer `None` not proven, inner `None` proven absent.
    pub fn storage_root(&self, address: Address) -> Option<Option<B256>> {
        Some(self.account(address)?.map(|account| account.storage_root))
    }
    /// Value of a slot, if it is proven. An account without storage needs no further proof.
    pub fn slot(&self, address: Address, slot: B256) -> Option<U256> {
        match self.account(address)? {
            Some(account) if account.storage_root != EMPTY_ROOT_HASH => {
                self.accounts.get(&address)?.slots.get(&slot).copied()
            }
            _ => Some(U256::ZERO),
        }
    }
    /// Hash of an account's code: outer `None` not proven, inner `None` no code.
    pub fn code_hash(&self, address: Address) -> Option<Option<B256>> {
        let code_hash = |account: &TrieAccount| account.code_hash;
        Some(
            self.account(address)?
                .map(code_hash)
                .filter(|hash| *hash != KECCAK_EMPTY),
        )
    }
    /// Whether the code with this hash is here.
    pub fn has_code(&self, hash: B256) -> bool {
        self.code.contains_key(&hash)
    }

    pub(crate) fn code(&self, hash: B256) -> Option<&Bytecode> {
        self.code.get(&hash)
    }
    pub(crate) fn owner_of(&self, code_hash: B256) -> Option<Address> {
        let has = |entry: &Entry| {
            entry
                .account
                .as_ref()
                .is_some_and(|account| account.code_hash == code_hash)
        };
        self.accounts
            .iter()
            .find(|(_, entry)| has(entry))
            .map(|(address, _)| *address)
    }
    pub(crate) fn facts(&self, address: Address) -> Option<Option<AccountFacts>> {
        Some(self.account(address)?.map(AccountFacts::from))
    }
    /// Outer `None` not proven, inner `None` proven absent.
    pub(crate) fn account(&self, address: Address) -> Option<Option<&TrieAccount>> {
        match self.accounts.get(&address) {
            Some(entry) => Some(entry.account.as_ref()),
            None => self.is_empty_state().then_some(None),
        }
    }

    fn insert(&mut self, address: Address, account: Option<TrieAccount>, slots: HashMap<B256, U256>) {
        self.accounts.insert(address, Arc::new(Entry { account, slots }));
    }
}

/// Verifies the proof of an account; `None` when it shows that there is none.
fn proven_account(state_root: B256, evidence: &AccountEvidence) -> Result<Option<TrieAccount>, PolicyError> {
    bounded(&evidence.proof)?;
    // Providers write an absent account with zero hashes or with the hashes of emptiness.
    let absent = evidence.nonce == 0
        && evidence.balance.is_zero()
        && [B256::ZERO, KECCAK_EMPTY].contains(&evidence.code_hash)
        && [B256::ZERO, EMPTY_ROOT_HASH].contains(&evidence.storage_root);
    let account = (!absent).then(|| {
        TrieAccount::new(
            evidence.nonce,
            evidence.balance,
            evidence.storage_root,
            evidence.code_hash,
        )
    });
    // C3: an account the state root does not lead to is a lie, and so is an absence it contradicts.
    let key = Nibbles::unpack(keccak256(evidence.address));
    let verify = |account: Option<&TrieAccount>| {
        verify_proof(state_root, key, account.map(alloy_rlp::encode), &evidence.proof)
    };
    let verified = match &account {
        Some(_) => verify(account.as_ref()),
        // Ethereum has no empty accounts since EIP-161. Anvil may keep one, which to a contract is the same as none.
        None => verify(None).or_else(|refused| verify(Some(&TrieAccount::default())).map_err(|_| refused)),
    };
    verified.map_err(|refused| PolicyError::AccountProof {
        address: evidence.address,
        state_root,
        detail: short(&refused.to_string()),
    })?;
    Ok(account)
}

/// Verifies the proof of a slot.
fn proven_slot(storage_root: B256, evidence: &SlotEvidence) -> Result<(), ProofVerificationError> {
    let key = Nibbles::unpack(keccak256(evidence.slot));
    let written = Some(alloy_rlp::encode(evidence.value));
    if !evidence.value.is_zero() {
        return verify_proof(storage_root, key, written, &evidence.proof);
    }
    // Ethereum removes a slot set to zero. Anvil keeps a leaf that says zero, which proves the same.
    verify_proof(storage_root, key, None, &evidence.proof)
        .or_else(|refused| verify_proof(storage_root, key, written, &evidence.proof).map_err(|_| refused))
}

/// The verifier prints whole nodes; the beginning tells enough.
fn short(text: &str) -> String {
    text.chars()
        .take(120)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
