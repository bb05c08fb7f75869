//! Which accounts and slots must stay proven from block to block, and what of them is not proven yet at the next one.
//!
//! Two tries are walked side by side from their roots, and only where their hashes differ and something tracked lies
//! below. So the cost of a block follows what changed in it, not how much is tracked.

use crate::{
    ProvenState, Reads, TrieNodes,
    nodes::Inner,
    state::account,
    trie::{Child, Node, Prefix},
};
use alloy_primitives::{Address, B256, keccak256, map::B256HashSet};
use alloy_trie::KECCAK_EMPTY;
use std::collections::BTreeMap;

/// Below this many keys all are asked for at once: one round trip instead of one for each level of the trie.
const FEW: usize = 64;

/// Accounts and slots by the hash they have in their trie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracked {
    accounts: BTreeMap<B256, TrackedAccount>,
    slots: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct TrackedAccount {
    address: Address,
    slots: BTreeMap<B256, B256>,
}

/// Something of one account that is not proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub address: Address,
    /// Slots to prove; proving some shows which others changed.
    pub slots: Vec<B256>,
    /// Whether the account's code is wanted.
    pub code: bool,
}

/// How many keys stand for the others below an unknown node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// One, which is least for a block that changed little.
    One,
    /// One for each child, which takes fewer rounds.
    EachChild,
}

impl Tracked {
    /// Adds what an execution read; true when some of it is new.
    pub fn note(&mut self, reads: &Reads) -> bool {
        let before = self.size();
        for address in reads.accounts() {
            self.account(address);
        }
        for (address, slot) in reads.slots() {
            let slots = &mut self.account(address).slots;
            let added = slots.insert(keccak256(slot), slot).is_none();
            self.slots += usize::from(added);
        }
        self.size() != before
    }

    /// Adds what another holds.
    pub fn merge(&mut self, other: Self) {
        for account in other.accounts.into_values() {
            let slots = &mut self.account(account.address).slots;
            let before = slots.len();
            slots.extend(account.slots);
            self.slots += slots.len() - before;
        }
    }

    /// Number of accounts and of slots.
    pub fn size(&self) -> (usize, usize) {
        (self.accounts.len(), self.slots)
    }

    fn account(&mut self, address: Address) -> &mut TrackedAccount {
        let slots = BTreeMap::new();
        self.accounts
            .entry(keccak256(address))
            .or_insert(TrackedAccount { address, slots })
    }

    /// What is not proven in `next`. With `old`, a state in which everything tracked is proven, only what changed since is
    /// looked at. When nothing is returned, everything tracked is proven in `next`; else ask again after proving it.
    pub fn gaps(&self, old: Option<&ProvenState>, next: &ProvenState, ask: Ask) -> Vec<Gap> {
        let inner = next.nodes().read();
        let root = |state: &ProvenState| Child::root(state.header().state_root());
        let mut walk = Walk::new(&inner, &self.accounts, ask);
        walk.compare(Prefix::default(), old.map(root), root(next));
        let unknown = walk.unknown.into_iter().map(|tracked| Gap {
            address: tracked.address,
            slots: Vec::new(),
            code: false,
        });
        let changed = walk
            .leaves
            .into_iter()
            .filter_map(|leaf| leaf.tracked.gap(&inner, leaf.old, leaf.new, ask));
        unknown.chain(changed).collect()
    }

    /// Drops nodes and code that nothing tracked needs at any of these state roots.
    pub fn sweep(&self, nodes: &TrieNodes, roots: impl IntoIterator<Item = B256>) {
        let (mut kept, mut codes) = (B256HashSet::default(), B256HashSet::default());
        {
            let inner = nodes.read();
            for root in roots {
                let mut mark = Mark::new(&inner, &self.accounts, &mut kept);
                mark.below(Prefix::default(), Child::root(root));
                for (tracked, leaf) in mark.leaves {
                    let Ok(account) = account(leaf) else { continue };
                    codes.insert(account.code_hash);
                    // Two accounts may share a storage root and not what is tracked of it.
                    let mut own = B256HashSet::default();
                    let mut mark = Mark::new(&inner, &tracked.slots, &mut own);
                    mark.below(Prefix::default(), Child::root(account.storage_root));
                    kept.extend(own);
                }
            }
        }
        nodes.keep(&kept, &codes);
    }
}

impl TrackedAccount {
    /// What is not proven of an account whose leaf changed.
    fn gap(&self, inner: &Inner, old: Option<&[u8]>, new: &[u8], ask: Ask) -> Option<Gap> {
        let now = account(new).ok()?;
        let before = old.and_then(|leaf| account(leaf).ok());
        let root = |account: alloy_trie::TrieAccount| Child::root(account.storage_root);
        let mut walk = Walk::new(inner, &self.slots, ask);
        walk.compare(Prefix::default(), before.map(root), root(now));
        let code = now.code_hash != KECCAK_EMPTY && !inner.codes.contains_key(&now.code_hash);
        let slots: Vec<B256> = walk.unknown.into_iter().copied().collect();
        (code || !slots.is_empty()).then_some(Gap {
            address: self.address,
            slots,
            code,
        })
    }
}

/// A leaf that changed.
struct Changed<'a, V> {
    tracked: &'a V,
    old: Option<&'a [u8]>,
    new: &'a [u8],
}

/// Two versions of one trie, and the keys that matter in it.
struct Walk<'a, V> {
    inner: &'a Inner,
    keys: &'a BTreeMap<B256, V>,
    ask: Ask,
    /// Keys that stand for the nodes that are not at hand.
    unknown: Vec<&'a V>,
    leaves: Vec<Changed<'a, V>>,
}

impl<'a, V> Walk<'a, V> {
    fn new(inner: &'a Inner, keys: &'a BTreeMap<B256, V>, ask: Ask) -> Self {
        Self {
            inner,
            keys,
            ask,
            unknown: Vec::new(),
            leaves: Vec::new(),
        }
    }

    fn compare(&mut self, prefix: Prefix, old: Option<Child<'a>>, new: Child<'a>) {
        // Equal hashes are equal subtries: what was proven below the one is proven below the other.
        if old == Some(new) || new == Child::Empty || self.keys.range(prefix.range()).next().is_none() {
            return;
        }
        let Some(now) = node(self.inner, new) else {
            self.ask_below(prefix);
            return;
        };
        let before = old.and_then(|old| node(self.inner, old));
        match now {
            Node::Branch(branch) => {
                let Ok(children) = branch.children() else {
                    return self.ask_below(prefix);
                };
                let before = match before {
                    Some(Node::Branch(branch)) => branch.children().ok(),
                    _ => None,
                };
                for (nibble, child) in (0u8..).zip(children) {
                    let old = before.and_then(|children| children.get(usize::from(nibble)).copied());
                    if let Some(prefix) = prefix.then(nibble) {
                        self.compare(prefix, old, child);
                    }
                }
            }
            Node::Extension { path, child } => {
                let old = match before {
                    Some(Node::Extension { path: same, child }) if same == path => Some(child),
                    _ => None,
                };
                if let Some(prefix) = prefix.along(path) {
                    self.compare(prefix, old, child);
                }
            }
            Node::Leaf { path, value } => {
                let key = prefix.along(path).and_then(|prefix| prefix.key());
                let old = match before {
                    Some(Node::Leaf { path: same, value }) if same == path => Some(value),
                    _ => None,
                };
                if let Some(tracked) = key.and_then(|key| self.keys.get(&key)) {
                    let new = value;
                    self.leaves.push(Changed { tracked, old, new });
                }
            }
        }
    }

    /// Picks keys below a node that is not at hand.
    fn ask_below(&mut self, prefix: Prefix) {
        if self.keys.len() <= FEW {
            let all = self.keys.range(prefix.range()).map(|(_, tracked)| tracked);
            return self.unknown.extend(all);
        }
        let first = |prefix: Prefix| self.keys.range(prefix.range()).next().map(|(_, tracked)| tracked);
        match self.ask {
            Ask::One => self.unknown.extend(first(prefix)),
            Ask::EachChild => {
                let each = (0..16).filter_map(|nibble| first(prefix.then(nibble)?));
                self.unknown.extend(each);
            }
        }
    }
}

/// One version of one trie: which of its nodes lead to keys that matter.
struct Mark<'a, 'b, V> {
    inner: &'a Inner,
    keys: &'a BTreeMap<B256, V>,
    kept: &'b mut B256HashSet,
    leaves: Vec<(&'a V, &'a [u8])>,
}

impl<'a, 'b, V> Mark<'a, 'b, V> {
    fn new(inner: &'a Inner, keys: &'a BTreeMap<B256, V>, kept: &'b mut B256HashSet) -> Self {
        Self {
            inner,
            keys,
            kept,
            leaves: Vec::new(),
        }
    }

    fn below(&mut self, prefix: Prefix, child: Child<'a>) {
        let wanted = self.keys.range(prefix.range()).next().is_some();
        if let Child::Hash(hash) = child
            && (!wanted || !self.kept.insert(hash))
        {
            return;
        }
        match node(self.inner, child) {
            Some(Node::Branch(branch)) => {
                for (nibble, child) in (0..).zip(branch.children().unwrap_or([Child::Empty; 16])) {
                    if let Some(prefix) = prefix.then(nibble) {
                        self.below(prefix, child);
                    }
                }
            }
            Some(Node::Extension { path, child }) => {
                if let Some(prefix) = prefix.along(path) {
                    self.below(prefix, child);
                }
            }
            Some(Node::Leaf { path, value }) => {
                let key = prefix.along(path).and_then(|prefix| prefix.key());
                self.leaves
                    .extend(key.and_then(|key| Some((self.keys.get(&key)?, value))));
            }
            None => {}
        }
    }
}

/// The node behind a reference; bytes that are no node are as good as none.
fn node<'a>(inner: &'a Inner, child: Child<'a>) -> Option<Node<'a>> {
    let rlp = match child {
        Child::Empty => return None,
        Child::Inline(rlp) => rlp,
        Child::Hash(hash) => inner.nodes.get(&hash)?.as_ref(),
    };
    Node::read(rlp).ok()
}
