//! Image proofs against a tree built the other way: recursively from the leaves, as RFC 6962 §2.1 defines it.

use attestation::{MAX_PROOF_BYTES, os_image_hash_from_proof};
use kms_types::{Mrtd, OsImageHash, OsMeasurement, Rtmr};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

pub(crate) fn measurement(n: u8) -> OsMeasurement {
    OsMeasurement {
        mrtd: Mrtd::new([n; 48]),
        rtmr0: Rtmr::new([1; 48]),
        rtmr1: Rtmr::new([2; 48]),
        rtmr2: Rtmr::new([3; 48]),
    }
}

fn hash(prefix: u8, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix([prefix]);
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// MTH of RFC 6962 §2.1.
fn tree(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [leaf] => hash(0, &[leaf]),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            hash(1, &[&tree(left), &tree(right)])
        }
    }
}

/// PATH of RFC 6962 §2.1.1.
fn path(index: usize, leaves: &[Vec<u8>]) -> Vec<[u8; 32]> {
    if leaves.len() == 1 {
        return vec![];
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    if index < split {
        [path(index, left), vec![tree(right)]].concat()
    } else {
        [path(index - split, right), vec![tree(left)]].concat()
    }
}

fn image_hash(leaves: &[Vec<u8>]) -> OsImageHash {
    let hash = Sha256::new_with_prefix(b"kedge/os-image/v1")
        .chain_update((leaves.len() as u64).to_be_bytes())
        .chain_update(tree(leaves))
        .finalize();
    OsImageHash::new(hash.into())
}

fn encode(leaves: u64, index: u64, path: &[[u8; 32]]) -> Vec<u8> {
    [
        &leaves.to_be_bytes()[..],
        &index.to_be_bytes(),
        path.as_flattened(),
    ]
    .concat()
}

fn catalogue(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|n| measurement(n).leaf_bytes()).collect()
}

#[test]
fn every_leaf_of_every_small_tree_is_proved() {
    for count in 1..=33_u8 {
        let leaves = catalogue(count);
        for index in 0..count {
            let proof = encode(count.into(), index.into(), &path(index.into(), &leaves));
            let proved = os_image_hash_from_proof(&measurement(index), &proof).unwrap();
            assert_eq!(proved, image_hash(&leaves), "{index} of {count}");
        }
    }
}

#[test]
fn b3_proof_of_another_leaf_or_index_leads_elsewhere() {
    let leaves = catalogue(7);
    let good = encode(7, 3, &path(3, &leaves));
    let image = image_hash(&leaves);
    assert_ne!(os_image_hash_from_proof(&measurement(4), &good).unwrap(), image);
    for index in [0, 1, 2, 4, 5, 6] {
        let wrong = encode(7, index, &path(3, &leaves));
        assert_ne!(
            os_image_hash_from_proof(&measurement(3), &wrong).ok(),
            Some(image)
        );
    }
    // Another leaf count is another image even where the path would climb to the same root.
    let wrong = encode(8, 3, &path(3, &leaves));
    assert_ne!(os_image_hash_from_proof(&measurement(3), &wrong).unwrap(), image);
}

#[test]
fn b3_paths_too_short_or_too_long_are_refused() {
    for count in 1..=17_u8 {
        let leaves = catalogue(count);
        for index in 0..count {
            let path = path(index.into(), &leaves);
            let longer = [&path[..], &[[0; 32]]].concat();
            let shorter = path.split_last().map(|(_, rest)| rest.to_vec());
            for wrong in [Some(longer), shorter].into_iter().flatten() {
                let proof = encode(count.into(), index.into(), &wrong);
                let error = os_image_hash_from_proof(&measurement(index), &proof).unwrap_err();
                assert_eq!(error.check(), "B3");
            }
        }
    }
}

#[test]
fn b3_trees_and_indices_out_of_bounds_are_refused() {
    for (leaves, index) in [
        (0, 0),
        (1, 1),
        (7, 7),
        (7, u64::MAX),
        ((1 << 32) + 1, 0),
        (u64::MAX, 1),
    ] {
        let error = os_image_hash_from_proof(&measurement(0), &encode(leaves, index, &[])).unwrap_err();
        assert_eq!(error.check(), "B3");
    }
    for len in [0, 1, 15, 17, 47, 49] {
        let proof = vec![0; len];
        assert_eq!(
            os_image_hash_from_proof(&measurement(0), &proof)
                .unwrap_err()
                .check(),
            "B3"
        );
    }
    let largest = encode(1 << 32, 5, &[[7; 32]; 32]);
    assert_eq!(largest.len(), MAX_PROOF_BYTES);
    os_image_hash_from_proof(&measurement(0), &largest).unwrap();
}

#[test]
fn q8_proofs_too_long_are_refused_unread() {
    let proof = vec![0; MAX_PROOF_BYTES + 1];
    assert_eq!(
        os_image_hash_from_proof(&measurement(0), &proof)
            .unwrap_err()
            .check(),
        "Q8"
    );
}

proptest! {
    #[test]
    fn b3_changed_proofs_never_lead_to_the_same_image(count in 2_u8..40, pick in any::<usize>(), bit in any::<usize>()) {
        let leaves = catalogue(count);
        let index = pick % usize::from(count);
        let mut proof = encode(count.into(), index as u64, &path(index, &leaves));
        let bit = bit % (proof.len() * 8);
        proof[bit / 8] ^= 1 << (bit % 8);
        let proved = os_image_hash_from_proof(&measurement(index as u8), &proof).ok();
        prop_assert_ne!(proved, Some(image_hash(&leaves)));
    }
}
