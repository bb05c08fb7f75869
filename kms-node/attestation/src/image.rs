//! Proof that four registers belong to an OS image (docs/protocol.md §4): an audit path of RFC 6962 from the leaf of
//! one measurement to the root of the image's catalogue. A path with a node too many or too few is refused.

use crate::{AttestationError, Mismatch, error::ensure};
use kms_types::{OsImageHash, OsMeasurement};
use sha2::{Digest, Sha256};

/// Most leaves of a catalogue.
pub const MAX_LEAVES: u64 = 1 << 32;
/// Longest proof: leaf count, index, one node per level.
pub const MAX_PROOF_BYTES: usize = 16 + 32 * 32;

/// The image hash that `proof` leads to from `measurement`. Proof: u64 BE leaf count ‖ u64 BE index ‖ 32 bytes per
/// node, leaf to root.
///
/// # Errors
/// When the proof does not have exactly the form its leaf count and index ask for.
pub fn os_image_hash_from_proof(
    measurement: &OsMeasurement,
    proof: &[u8],
) -> Result<OsImageHash, AttestationError> {
    // Q8: the length is bounded before a node is hashed.
    ensure(
        proof.len() <= MAX_PROOF_BYTES,
        AttestationError::Bounds,
        "image proof bytes",
        format_args!("at most {MAX_PROOF_BYTES}"),
        proof.len(),
    )?;
    let (leaves, index, path) =
        split(proof).ok_or_else(|| refused("leaf count, index and whole nodes", proof.len()))?;
    // B3: an index outside the tree, or in a tree of another size, has paths that mean nothing.
    if leaves > MAX_LEAVES || index >= leaves {
        return Err(refused(
            format_args!("an index below a leaf count of at most {MAX_LEAVES}"),
            format_args!("index {index} of {leaves} leaves"),
        ));
    }
    let leaf = Sha256::new_with_prefix([0])
        .chain_update(measurement.leaf_bytes())
        .finalize()
        .into();
    let root = climb(leaf, leaves, index, path)?;
    let hash = Sha256::new_with_prefix(b"kedge/os-image/v1")
        .chain_update(leaves.to_be_bytes())
        .chain_update(root)
        .finalize();
    Ok(OsImageHash::new(hash.into()))
}

fn split(proof: &[u8]) -> Option<(u64, u64, &[[u8; 32]])> {
    let (leaves, rest) = proof.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let (path, rest) = rest.as_chunks();
    rest.is_empty()
        .then_some((u64::from_be_bytes(*leaves), u64::from_be_bytes(*index), path))
}

/// RFC 9162 §2.1.3.2, verification of an inclusion proof: `node` is the index and `last` the last index on the way up.
fn climb(leaf: [u8; 32], leaves: u64, index: u64, path: &[[u8; 32]]) -> Result<[u8; 32], AttestationError> {
    let (mut node, mut last) = (index, leaves.saturating_sub(1));
    let mut hash = leaf;
    for sibling in path {
        // B3: nodes left over would let a path be lengthened at will.
        if last == 0 {
            return Err(refused("a path that ends at the root", "nodes left over"));
        }
        if node & 1 == 1 || node == last {
            hash = interior(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = interior(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 {
        Ok(hash)
    } else {
        Err(refused("a path that ends at the root", "nodes missing"))
    }
}

fn interior(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new_with_prefix([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

fn refused(expected: impl std::fmt::Display, actual: impl std::fmt::Display) -> AttestationError {
    AttestationError::ImageProof(Mismatch::new("image proof", expected, actual))
}
