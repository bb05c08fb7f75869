//! Trie nodes and contract code by their hash, shared by every block's state. A value stands under the hash that was
//! computed of it here and under no other, so nothing in the store has to be believed: what a state root does not lead
//! to is never read. Refused: more than the bounds of a [`Witness`] of what no proven root leads to.

use crate::{
    MAX_CODE, MAX_PROOF_NODE, PolicyError,
    evidence::at_most,
    trie::{Broken, find},
};
use alloy_primitives::{
    B256, Bytes, keccak256,
    map::{B256HashMap, B256HashSet},
};
use revm::bytecode::Bytecode;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Nodes of one witness.
pub const MAX_WITNESS_NODES: usize = 16_384;
/// Contracts of one witness.
pub const MAX_WITNESS_CODES: usize = 256;

/// Nodes and code by hash.
#[derive(Debug, Default)]
pub struct TrieNodes(RwLock<Inner>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) nodes: B256HashMap<Bytes>,
    pub(crate) codes: B256HashMap<Bytecode>,
}

/// The nodes and the code that prove what one execution read. Sorted by hash, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witness {
    /// Trie nodes, RLP.
    pub nodes: Vec<Bytes>,
    /// Contract code.
    pub codes: Vec<Bytes>,
}

impl TrieNodes {
    /// A store that holds a witness and nothing else.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`] when it is above its bounds; [`PolicyError::Evm`] when code cannot be run.
    pub fn of(witness: &Witness) -> Result<Self, PolicyError> {
        at_most("nodes of a witness", MAX_WITNESS_NODES, witness.nodes.len())?;
        at_most("contracts of a witness", MAX_WITNESS_CODES, witness.codes.len())?;
        let mut inner = Inner::default();
        for node in &witness.nodes {
            at_most("bytes of a trie node", MAX_PROOF_NODE, node.len())?;
            inner.nodes.insert(keccak256(node), node.clone());
        }
        for code in &witness.codes {
            at_most("bytes of contract code", MAX_CODE, code.len())?;
            inner.codes.insert(keccak256(code), runnable(code)?);
        }
        Ok(Self(RwLock::new(inner)))
    }

    /// Nodes and contracts held.
    pub fn len(&self) -> (usize, usize) {
        let inner = self.read();
        (inner.nodes.len(), inner.codes.len())
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Whether the code with this hash is here.
    pub fn has_code(&self, hash: B256) -> bool {
        self.read().codes.contains_key(&hash)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the nodes of `proof` that lead from `root` to `key`, and returns the leaf's value.
    pub(crate) fn extend<T>(
        &self,
        root: B256,
        key: &B256,
        proof: &[Bytes],
        leaf: impl FnOnce(Option<&[u8]>) -> Result<T, String>,
    ) -> Result<T, String> {
        let offered: B256HashMap<&Bytes> = proof.iter().map(|node| (keccak256(node), node)).collect();
        let (value, taken) = {
            let inner = self.read();
            let mut taken = Vec::new();
            // C3: a node counts only under the hash its parent names, up to the root the header commits to.
            let found = find(
                root,
                key,
                |hash| match inner.nodes.get(hash) {
                    Some(node) => Some(node.as_ref()),
                    None => offered.get(hash).map(|node| node.as_ref()),
                },
                |hash, _| {
                    if let Some(node) = offered.get(&hash).filter(|_| !inner.nodes.contains_key(&hash)) {
                        taken.push((hash, Bytes::clone(node)));
                    }
                },
            );
            let found = found.map_err(|broken| match broken {
                Broken::Unknown(hash) => {
                    format!("expected the node with hash {hash}, it is not in the proof")
                }
                Broken::Malformed => "expected trie nodes, got other bytes".to_owned(),
            })?;
            (leaf(found)?, taken)
        };
        if !taken.is_empty() {
            self.write().nodes.extend(taken);
        }
        Ok(value)
    }

    /// Keeps code under its hash.
    pub(crate) fn add_code(&self, hash: B256, code: &Bytes) -> Result<(), PolicyError> {
        if !self.has_code(hash) {
            let code = runnable(code)?;
            self.write().codes.insert(hash, code);
        }
        Ok(())
    }

    /// Forgets everything else.
    pub(crate) fn keep(&self, nodes: &B256HashSet, codes: &B256HashSet) {
        let mut inner = self.write();
        inner.nodes.retain(|hash, _| nodes.contains(hash));
        inner.codes.retain(|hash, _| codes.contains(hash));
        inner.nodes.shrink_to_fit();
    }
}

impl Inner {
    /// Looks a key up; `met` is told of each node on the way.
    pub(crate) fn find<'a>(
        &'a self,
        root: B256,
        key: &B256,
        met: impl FnMut(B256, &'a [u8]),
    ) -> Result<Option<&'a [u8]>, Broken> {
        find(root, key, |hash| self.nodes.get(hash).map(AsRef::as_ref), met)
    }
}

fn runnable(code: &Bytes) -> Result<Bytecode, PolicyError> {
    // C6: anyone may deploy bytes that look like a delegation and are none; they must not stop the node.
    Bytecode::new_raw_checked(code.clone())
        .map_err(|refused| PolicyError::Evm(format!("code {}: {refused}", keccak256(code))))
}
