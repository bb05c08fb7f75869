//! RFC 6962 tree arithmetic over complete subtrees: append with the right edge alone, and which subtrees a proof needs.
//! Pure; holds at most one hash per level. Refuses a leaf or size outside the tree.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A node hash.
pub type Hash = [u8; 32];

/// A complete subtree: `2^level` leaves from `position * 2^level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// 0 for a leaf.
    pub level: u32,
    /// Counted in subtrees of that size.
    pub position: u64,
}

/// Hash of a leaf (RFC 6962 §2.1).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// Root of the empty tree.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The right edge of a tree: the roots of its complete subtrees, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<(u32, Hash)>,
}

impl Frontier {
    /// The subtrees a tree of `size` leaves is made of, largest first.
    pub fn peak_ids(size: u64) -> Vec<NodeId> {
        cover(0, size)
    }

    /// Rebuilds the edge from the hashes of [`Frontier::peak_ids`]; `None` when their number is wrong.
    pub fn restore(size: u64, hashes: &[Hash]) -> Option<Self> {
        let ids = Self::peak_ids(size);
        (ids.len() == hashes.len()).then(|| Self {
            size,
            peaks: ids
                .iter()
                .map(|id| id.level)
                .zip(hashes.iter().copied())
                .collect(),
        })
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and tells every interior node that became complete.
    pub fn append(&mut self, leaf: Hash, mut completed: impl FnMut(NodeId, Hash)) {
        let mut level = 0;
        let mut hash = leaf;
        while let Some((top, left)) = self.peaks.last().copied() {
            if top != level {
                break;
            }
            self.peaks.pop();
            hash = node_hash(&left, &hash);
            level += 1;
            completed(
                NodeId {
                    level,
                    position: self.size >> level,
                },
                hash,
            );
        }
        self.peaks.push((level, hash));
        self.size += 1;
    }

    /// Merkle tree hash.
    pub fn root(&self) -> Hash {
        fold(self.peaks.iter().map(|(_, hash)| *hash)).unwrap_or_else(empty_root)
    }
}

/// Folds subtree roots, largest first, from the right.
fn fold(peaks: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    peaks.rev().reduce(|right, left| node_hash(&left, &right))
}

/// A range of leaves whose hash is one element of a proof.
pub type Range = (u64, u64);

/// The ranges of an inclusion proof, from leaf to root (RFC 6962 §2.1.1); `None` when the leaf is not in the tree.
pub fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<Range>> {
    if index >= size {
        return None;
    }
    let (mut start, mut end, mut ranges) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges of a consistency proof (RFC 6962 §2.1.2); `None` unless `0 < first <= second`.
pub fn consistency_ranges(first: u64, second: u64) -> Option<Vec<Range>> {
    if first == 0 || first > second {
        return None;
    }
    let (mut start, mut end, mut whole, mut ranges) = (0, second, true, Vec::new());
    while first != end {
        let middle = start + split(end - start);
        if first <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
            whole = false;
        }
    }
    if !whole {
        ranges.push((start, end));
    }
    ranges.reverse();
    Some(ranges)
}

/// The complete subtrees that cover `start..end`, largest first, where `start` is a multiple of the largest.
pub fn cover(start: u64, end: u64) -> Vec<NodeId> {
    let (mut start, mut nodes) = (start, Vec::new());
    while start < end {
        let level = (end - start).ilog2();
        nodes.push(NodeId {
            level,
            position: start >> level,
        });
        start += 1 << level;
    }
    nodes
}

/// Hash of a range out of the hashes of its [`cover`]; `None` when one is missing.
pub fn range_hash(range: Range, nodes: &BTreeMap<NodeId, Hash>) -> Option<Hash> {
    let hashes: Option<Vec<Hash>> = cover(range.0, range.1)
        .iter()
        .map(|id| nodes.get(id).copied())
        .collect();
    fold(hashes?.into_iter())
}

/// Largest power of two below `n`, for `n > 1`.
const fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962 §2.1, word for word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&mth(left), &mth(right))
            }
        }
    }

    /// RFC 6962 §2.1.1.
    fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return vec![];
        }
        let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
        let (mut path, sibling) = if m < left.len() {
            (path(m, left), mth(right))
        } else {
            (path(m - left.len(), right), mth(left))
        };
        path.push(sibling);
        path
    }

    /// RFC 6962 §2.1.2.
    fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { vec![] } else { vec![mth(leaves)] };
        }
        let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
        let (mut proof, other) = if m <= left.len() {
            (subproof(m, left, whole), mth(right))
        } else {
            (subproof(m - left.len(), right, false), mth(left))
        };
        proof.push(other);
        proof
    }

    #[test]
    fn every_root_and_proof_up_to_70_leaves_is_the_one_of_the_rfc() {
        let leaves: Vec<Hash> = (0..70_u8).map(|i| leaf_hash(&[i])).collect();
        let (mut tree, mut nodes) = (Frontier::default(), BTreeMap::new());
        for (i, leaf) in leaves.iter().enumerate() {
            assert_eq!(tree.root(), mth(&leaves[..i]));
            nodes.insert(
                NodeId {
                    level: 0,
                    position: i as u64,
                },
                *leaf,
            );
            tree.append(*leaf, |id, hash| assert!(nodes.insert(id, hash).is_none()));
            let size = i as u64 + 1;
            let peaks: Vec<Hash> = Frontier::peak_ids(size).iter().map(|id| nodes[id]).collect();
            assert_eq!(Frontier::restore(size, &peaks).unwrap(), tree);
            let hashes = |ranges: Vec<Range>| -> Vec<Hash> {
                ranges
                    .into_iter()
                    .map(|range| range_hash(range, &nodes).unwrap())
                    .collect()
            };
            for m in 0..=i {
                assert_eq!(
                    hashes(inclusion_ranges(m as u64, size).unwrap()),
                    path(m, &leaves[..=i])
                );
                let first = m as u64 + 1;
                assert_eq!(
                    hashes(consistency_ranges(first, size).unwrap()),
                    subproof(m + 1, &leaves[..=i], true)
                );
            }
        }
    }

    #[test]
    fn outside_the_tree_there_is_no_proof() {
        assert_eq!(inclusion_ranges(0, 0), None);
        assert_eq!(inclusion_ranges(5, 5), None);
        assert_eq!(consistency_ranges(0, 5), None);
        assert_eq!(consistency_ranges(6, 5), None);
        assert_eq!(Frontier::restore(3, &[[0; 32]]), None);
    }
}
