//! The RFC 6962 tree over a catalogue's leaves, and what is made of its root. Verifying a proof is the KMS's part.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use kms_types::{OsImageHash, OsMeasurement};
use sha2::{Digest, Sha256};

const IMAGE_TAG: &[u8] = b"kedge/os-image/v1";

/// The tree over sorted measurements. The crate below prefixes leaves with 0x00 and inner nodes with 0x01.
#[derive(Clone, Debug)]
pub(crate) struct Tree(MemoryBackedTree<sha2_011::Sha256, Vec<u8>>);

impl Tree {
    /// Builds the tree in the order given.
    pub(crate) fn new(measurements: &[OsMeasurement]) -> Self {
        let mut tree = MemoryBackedTree::new();
        for measurement in measurements {
            tree.push(measurement.leaf_bytes());
        }
        Self(tree)
    }

    /// SHA-256("kedge/os-image/v1" ‖ u64 BE leaf count ‖ root).
    pub(crate) fn image_hash(&self) -> OsImageHash {
        let root = self.0.root();
        OsImageHash::new(
            Sha256::new()
                .chain_update(IMAGE_TAG)
                .chain_update(root.num_leaves().to_be_bytes())
                .chain_update(root.as_bytes())
                .finalize()
                .into(),
        )
    }

    /// u64 BE leaf count ‖ u64 BE index ‖ audit path from leaf to root; nothing for an index outside the tree.
    pub(crate) fn proof(&self, index: usize) -> Option<Vec<u8>> {
        let count = self.0.len();
        // A foreign index would make the tree's own proof function panic.
        if index as u64 >= count {
            return None;
        }
        let path = self.0.prove_inclusion(index);
        let mut proof = Vec::with_capacity(16 + path.as_bytes().len());
        proof.extend_from_slice(&count.to_be_bytes());
        proof.extend_from_slice(&(index as u64).to_be_bytes());
        proof.extend_from_slice(path.as_bytes());
        Some(proof)
    }
}
