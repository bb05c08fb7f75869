//! A persistent Merkle Patricia trie: an insertion makes the nodes of one path anew and shares the rest, so every block
//! keeps its own trie and a proof is a walk. Keys are 32 bytes; nothing is removed.

use alloy::{
    primitives::{B256, Bytes, keccak256},
    rlp::{Encodable, Header},
};
use std::sync::Arc;

/// Nodes by nibble.
#[derive(Clone)]
pub struct Trie<T>(Option<Arc<Node<T>>>);

struct Node<T> {
    path: Vec<u8>,
    kind: Kind<T>,
    rlp: Bytes,
    hash: B256,
}

enum Kind<T> {
    Leaf(Leaf<T>),
    Extension(Arc<Node<T>>),
    Branch(Box<Children<T>>),
}

type Children<T> = [Option<Arc<Node<T>>>; 16];

/// A value: what stands in the trie, and what it stands for.
pub struct Leaf<T> {
    pub value: Arc<[u8]>,
    pub of: Arc<T>,
}

impl<T> Clone for Leaf<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            of: Arc::clone(&self.of),
        }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Trie<T> {
    pub fn root(&self) -> B256 {
        let empty = alloy::consensus::EMPTY_ROOT_HASH;
        self.0.as_ref().map_or(empty, |node| node.hash)
    }

    pub fn insert(&mut self, key: B256, value: Vec<u8>, of: T) {
        let leaf = Leaf {
            value: value.into(),
            of: Arc::new(of),
        };
        self.0 = Some(insert(self.0.as_ref(), &nibbles(key), leaf));
    }

    pub fn get(&self, key: B256) -> Option<&Leaf<T>> {
        self.walk(key, |_| ())
    }

    /// The nodes that lead to a key, and its leaf.
    pub fn prove(&self, key: B256) -> (Vec<Bytes>, Option<&Leaf<T>>) {
        let mut proof = Vec::new();
        let leaf = self.walk(key, |node| {
            // A node shorter than a hash stands in its parent.
            if proof.is_empty() || node.rlp.len() >= 32 {
                proof.push(node.rlp.clone());
            }
        });
        (proof, leaf)
    }

    fn walk(&self, key: B256, mut met: impl FnMut(&Node<T>)) -> Option<&Leaf<T>> {
        let key = nibbles(key);
        let (mut at, mut rest) = (self.0.as_ref(), key.as_slice());
        while let Some(node) = at {
            met(node);
            rest = rest.strip_prefix(node.path.as_slice())?;
            match &node.kind {
                Kind::Leaf(leaf) => return Some(leaf),
                Kind::Extension(child) => at = Some(child),
                Kind::Branch(children) => (at, rest) = (children[rest[0] as usize].as_ref(), &rest[1..]),
            }
        }
        None
    }
}

fn nibbles(key: B256) -> Vec<u8> {
    key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect()
}

fn insert<T>(at: Option<&Arc<Node<T>>>, path: &[u8], leaf: Leaf<T>) -> Arc<Node<T>> {
    let Some(node) = at else {
        return made(path, Kind::Leaf(leaf));
    };
    let common = node.path.iter().zip(path).take_while(|(a, b)| a == b).count();
    match &node.kind {
        Kind::Branch(children) => {
            let (mut children, index) = (children.clone(), path[0] as usize);
            children[index] = Some(insert(children[index].as_ref(), &path[1..], leaf));
            return made(&[], Kind::Branch(children));
        }
        Kind::Leaf(_) if common == path.len() => return made(path, Kind::Leaf(leaf)),
        Kind::Extension(child) if common == node.path.len() => {
            return made(
                &node.path,
                Kind::Extension(insert(Some(child), &path[common..], leaf)),
            );
        }
        _ => {}
    }
    let mut children: Box<Children<T>> = Box::default();
    let (nibble, rest) = (node.path[common] as usize, &node.path[common + 1..]);
    children[nibble] = Some(match &node.kind {
        Kind::Extension(child) if rest.is_empty() => Arc::clone(child),
        Kind::Extension(child) => made(rest, Kind::Extension(Arc::clone(child))),
        Kind::Leaf(old) => made(rest, Kind::Leaf(old.clone())),
        Kind::Branch(_) => unreachable!("a branch has no path"),
    });
    children[path[common] as usize] = Some(made(&path[common + 1..], Kind::Leaf(leaf)));
    let branch = made(&[], Kind::Branch(children));
    match common {
        0 => branch,
        _ => made(&path[..common], Kind::Extension(branch)),
    }
}

fn made<T>(path: &[u8], kind: Kind<T>) -> Arc<Node<T>> {
    let mut items = Vec::new();
    match &kind {
        Kind::Leaf(leaf) => {
            compact(path, true).as_slice().encode(&mut items);
            leaf.value.as_ref().encode(&mut items);
        }
        Kind::Extension(child) => {
            compact(path, false).as_slice().encode(&mut items);
            refer(Some(child), &mut items);
        }
        Kind::Branch(children) => {
            children
                .iter()
                .for_each(|child| refer(child.as_ref(), &mut items));
            items.push(0x80);
        }
    }
    let mut rlp = Vec::with_capacity(items.len() + 4);
    let payload_length = items.len();
    Header {
        list: true,
        payload_length,
    }
    .encode(&mut rlp);
    rlp.extend(items);
    let (path, hash) = (path.to_vec(), keccak256(&rlp));
    let rlp = rlp.into();
    Arc::new(Node {
        path,
        kind,
        rlp,
        hash,
    })
}

fn refer<T>(child: Option<&Arc<Node<T>>>, out: &mut Vec<u8>) {
    match child {
        None => out.push(0x80),
        Some(node) if node.rlp.len() < 32 => out.extend_from_slice(&node.rlp),
        Some(node) => node.hash.encode(out),
    }
}

/// Hex-prefix encoding.
fn compact(path: &[u8], leaf: bool) -> Vec<u8> {
    let flag = if leaf { 2 } else { 0 };
    let odd = path.len() % 2;
    let first = match odd {
        1 => (flag | 1) << 4 | path[0],
        _ => flag << 4,
    };
    let rest = path[odd..].chunks(2).map(|pair| pair[0] << 4 | pair[1]);
    std::iter::once(first).chain(rest).collect()
}
