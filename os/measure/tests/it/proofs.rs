//! Every proof leads to the image hash under an independent recomputation; an altered one does not.

use crate::measurement;
use kms_types::{OsMeasurement, length_prefixed};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use td_measure::Catalogue;

/// RFC 6962 §2.1, straight from its recursive definition.
fn tree_hash(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => Sha256::new()
            .chain_update([0])
            .chain_update(leaf)
            .finalize()
            .into(),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            Sha256::new()
                .chain_update([1])
                .chain_update(tree_hash(&leaves[..split]))
                .chain_update(tree_hash(&leaves[split..]))
                .finalize()
                .into()
        }
    }
}

fn leaf(m: &OsMeasurement) -> Vec<u8> {
    length_prefixed([
        m.mrtd.as_ref(),
        m.rtmr0.as_ref(),
        m.rtmr1.as_ref(),
        m.rtmr2.as_ref(),
    ])
}

fn image_hash(count: u64, root: [u8; 32]) -> [u8; 32] {
    let tag: &[u8] = b"kedge/os-image/v1";
    Sha256::digest([tag, &count.to_be_bytes(), &root].concat()).into()
}

/// RFC 9162 §2.1.3.2, the loop over `fn` and `sn`. Nothing when the path has the wrong length.
fn root_of_proof(m: &OsMeasurement, proof: &[u8]) -> Option<[u8; 32]> {
    let count = u64::from_be_bytes(proof.get(..8)?.try_into().ok()?);
    let index = u64::from_be_bytes(proof.get(8..16)?.try_into().ok()?);
    if index >= count || proof.len() % 32 != 16 {
        return None;
    }
    let (mut at, mut last) = (index, count - 1);
    let mut hash = tree_hash(&[leaf(m)]);
    for sibling in proof[16..].chunks(32) {
        if last == 0 {
            return None;
        }
        let (left, right): (&[u8], &[u8]) = if at & 1 == 1 || at == last {
            (sibling, &hash)
        } else {
            (&hash, sibling)
        };
        let parent: [u8; 32] = Sha256::new()
            .chain_update([1])
            .chain_update(left)
            .chain_update(right)
            .finalize()
            .into();
        if at & 1 == 0 && at == last {
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        }
        hash = parent;
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then(|| image_hash(count, hash))
}

#[test]
fn single_measurement_has_an_empty_path() {
    let catalogue = Catalogue::from_measurements([measurement(4)]).unwrap();
    let proof = catalogue.proof(&measurement(4)).unwrap();
    assert_eq!(proof, [1u64.to_be_bytes(), 0u64.to_be_bytes()].concat());
    assert_eq!(
        catalogue.os_image_hash().to_bytes(),
        image_hash(1, tree_hash(&[leaf(&measurement(4))]))
    );
}

#[test]
fn foreign_measurement_has_no_proof() {
    let catalogue = Catalogue::from_measurements((0..5).map(measurement)).unwrap();
    assert_eq!(catalogue.proof(&measurement(5)), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_leaf_proves_its_image(numbers in prop::collection::btree_set(any::<u64>(), 1..70)) {
        let catalogue = Catalogue::from_measurements(numbers.iter().copied().map(measurement)).unwrap();
        let leaves: Vec<_> = catalogue.measurements().iter().map(leaf).collect();
        let expected = image_hash(leaves.len() as u64, tree_hash(&leaves));
        prop_assert_eq!(catalogue.os_image_hash().to_bytes(), expected);
        for m in catalogue.measurements() {
            let proof = catalogue.proof(m).unwrap();
            prop_assert_eq!(root_of_proof(m, &proof), Some(expected));
        }
    }

    #[test]
    fn altered_proof_or_measurement_fails(
        size in 2u64..60, pick in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let catalogue = Catalogue::from_measurements((0..size).map(measurement)).unwrap();
        let expected = Some(catalogue.os_image_hash().to_bytes());
        let m = catalogue.measurements()[pick.index(size as usize)];
        let good = catalogue.proof(&m).unwrap();

        let mut bad = good.clone();
        let at = at.index(bad.len());
        bad[at] ^= 1 << bit;
        prop_assert_ne!(root_of_proof(&m, &bad), expected);

        prop_assert_ne!(root_of_proof(&m, &good[..good.len() - 32]), expected);
        prop_assert_ne!(root_of_proof(&measurement(size), &good), expected);
    }
}

#[test]
fn the_registers_that_differ_from_the_nearest_boot_are_named() {
    let catalogue = Catalogue::from_measurements([1, 2].map(measurement)).unwrap();
    let mut other = measurement(2);
    assert!(catalogue.differing(&other).is_empty());
    other.rtmr2 = other.rtmr1;
    assert_eq!(catalogue.differing(&other), ["RTMR2"]);
    other.rtmr0 = measurement(3).rtmr0;
    assert_eq!(catalogue.differing(&other), ["RTMR0", "RTMR2"]);
}
