//! What a proof must be to count.

use crate::world::{World, address};
use alloy_primitives::{Address, B256, Bytes, U256};
use authority_policy::{AccountEvidence, MAX_CODE, Missing, PolicyError, ProvenHeader, ProvenState};
use proptest::prelude::*;
use std::sync::Arc;

fn world() -> World {
    let mut world = World::of(&[b"\x60\x00", b"\x60\x01", b""]);
    for slot in 0..20 {
        world.set(address(0x11), slot, slot * 3);
    }
    world
}

#[test]
fn c2_a_header_under_another_hash_is_refused() {
    let honest = world().fields(7);
    let hash = honest.hash_slow();
    assert_eq!(ProvenHeader::new(honest.clone(), hash).unwrap().hash(), hash);
    let changes: [fn(&mut alloy_consensus::Header); 6] = [
        |header| header.state_root = B256::ZERO,
        |header| header.number += 1,
        |header| header.timestamp += 1,
        |header| header.parent_hash = B256::repeat_byte(1),
        |header| header.requests_hash = None,
        |header| header.extra_data = Bytes::from_static(b"x"),
    ];
    for change in changes {
        let mut header = honest.clone();
        change(&mut header);
        assert!(matches!(
            ProvenHeader::new(header, hash),
            Err(PolicyError::HeaderHash { .. })
        ));
    }
    let mut long = honest;
    long.extra_data = vec![0; 9000].into();
    let hash = long.hash_slow();
    assert!(matches!(
        ProvenHeader::new(long, hash),
        Err(PolicyError::TooLarge { .. })
    ));
}

#[test]
fn c3_accounts_slots_and_absences_are_taken_with_their_proof_only() {
    let world = world();
    let state = ProvenState::new(world.header(1), Arc::default());
    let (here, nowhere) = (address(0x11), address(0x99));
    assert_eq!(
        state.add_slot(here, &world.slot(here, 1)),
        Err(PolicyError::AccountFirst(here))
    );
    assert_eq!(
        state.add_code(here, Bytes::new()),
        Err(PolicyError::AccountFirst(here))
    );
    state.add_account(&world.account(here)).unwrap();
    state.add_account(&world.account(nowhere)).unwrap();
    state.add_slot(here, &world.slot(here, 5)).unwrap();
    state.add_slot(here, &world.slot(here, 500)).unwrap();
    let slot = |n: u64| B256::from(U256::from(n));
    assert_eq!(state.slot(here, slot(5)), Ok(U256::from(15)));
    assert_eq!(state.slot(here, slot(500)), Ok(U256::ZERO));
    let (address, slot) = (here, slot(13));
    assert_eq!(state.slot(here, slot), Err(Missing::Slot { address, slot }));
    assert_eq!(state.slot(nowhere, slot), Ok(U256::ZERO));
    assert_eq!(state.account(nowhere), Ok(None));
    let stranger = Address::repeat_byte(0x22);
    assert_eq!(state.account(stranger), Err(Missing::Account(stranger)));
}

#[test]
fn c3_a_proof_of_another_account_slot_or_block_is_refused() {
    let world = world();
    let mut other = world.clone();
    other.set(address(0x11), 5, 16);
    let state = ProvenState::new(world.header(1), Arc::default());
    assert!(state.add_account(&other.account(address(0x11))).is_err());
    let mut swapped = world.account(address(0x22));
    swapped.address = address(0x33);
    assert!(matches!(
        state.add_account(&swapped),
        Err(PolicyError::AccountProof { .. })
    ));
    state.add_account(&world.account(address(0x11))).unwrap();
    assert!(matches!(
        state.add_slot(address(0x11), &other.slot(address(0x11), 5)),
        Err(PolicyError::SlotProof { .. })
    ));
    let mut moved = world.slot(address(0x11), 5);
    moved.slot = B256::from(U256::from(6));
    assert!(state.add_slot(address(0x11), &moved).is_err());
}

#[test]
fn c3_claims_beside_the_proven_account_are_refused_by_their_name() {
    let world = world();
    let state = ProvenState::new(world.header(1), Arc::default());
    type Lie = fn(&mut AccountEvidence);
    let lies: [(&str, Lie); 4] = [
        ("nonce", |evidence| evidence.nonce += 1),
        ("balance", |evidence| evidence.balance += U256::from(1)),
        ("storageHash", |evidence| {
            evidence.storage_root = B256::repeat_byte(1)
        }),
        ("codeHash", |evidence| evidence.code_hash = B256::repeat_byte(1)),
    ];
    for (field, lie) in lies {
        for of in [address(0x11), address(0x99)] {
            let mut evidence = world.account(of);
            lie(&mut evidence);
            let refused = state.add_account(&evidence);
            assert!(
                matches!(&refused, Err(PolicyError::AccountProof { detail, .. }) if detail.starts_with(field)),
                "{field}: {refused:?}"
            );
        }
    }
    assert!(state.nodes().is_empty());
}

#[test]
fn c3_nodes_nothing_leads_to_are_not_kept() {
    let world = world();
    let state = ProvenState::new(world.header(1), Arc::default());
    let mut evidence = world.account(address(0x11));
    let honest = evidence.proof.len();
    evidence.proof.push(Bytes::from_static(b"\xc0"));
    evidence.proof.insert(0, vec![0xd1; 600].into());
    state.add_account(&evidence).unwrap();
    assert_eq!(state.nodes().len(), (honest, 0));
}

#[test]
fn c3_code_must_have_the_accounts_hash() {
    let world = world();
    let state = ProvenState::new(world.header(1), Arc::default());
    state.add_account(&world.account(address(0x11))).unwrap();
    let other = state.add_code(address(0x11), Bytes::from_static(b"\x60\x01"));
    assert!(matches!(other, Err(PolicyError::CodeHash { .. })), "{other:?}");
    let long = state.add_code(address(0x11), vec![0; MAX_CODE + 1].into());
    assert!(matches!(long, Err(PolicyError::TooLarge { .. })), "{long:?}");
    state
        .add_code(address(0x11), Bytes::from_static(b"\x60\x00"))
        .unwrap();
}

#[test]
fn c3_long_proofs_are_refused_before_they_are_read() {
    let world = world();
    let state = ProvenState::new(world.header(1), Arc::default());
    let mut many = world.account(address(0x11));
    many.proof = vec![Bytes::from_static(b"\x80"); 66];
    let mut wide = world.account(address(0x11));
    wide.proof = vec![vec![0; 1025].into()];
    for evidence in [many, wide] {
        assert!(matches!(
            state.add_account(&evidence),
            Err(PolicyError::TooLarge { .. })
        ));
    }
}

#[test]
fn an_empty_state_proves_every_absence() {
    let world = World::default();
    let state = ProvenState::new(world.header(0), Arc::default());
    assert_eq!(state.account(address(1)), Ok(None));
    assert_eq!(state.slot(address(1), B256::ZERO), Ok(U256::ZERO));
}

proptest! {
    #[test]
    fn c3_no_changed_bit_of_an_account_proof_is_taken(node: usize, byte: usize, bit in 0u8..8) {
        let world = world();
        let state = ProvenState::new(world.header(1), Arc::default());
        let mut evidence = world.account(address(0x11));
        let node = node % evidence.proof.len();
        let mut bytes = evidence.proof[node].to_vec();
        let byte = byte % bytes.len();
        bytes[byte] ^= 1 << bit;
        evidence.proof[node] = bytes.into();
        prop_assert!(state.add_account(&evidence).is_err());
        prop_assert!(state.nodes().is_empty());
    }

    #[test]
    fn c3_no_changed_bit_of_a_slot_proof_is_taken(slot in 0u64..40, node: usize, byte: usize, bit in 0u8..8) {
        let world = world();
        let state = world.proven(1);
        let mut evidence = world.slot(address(0x11), slot);
        let node = node % evidence.proof.len();
        let mut bytes = evidence.proof[node].to_vec();
        let byte = byte % bytes.len();
        bytes[byte] ^= 1 << bit;
        evidence.proof[node] = bytes.into();
        prop_assert!(state.add_slot(address(0x11), &evidence).is_err());
    }

    #[test]
    fn c3_no_other_value_of_a_slot_is_taken(slot in 0u64..40, value: u64, drop: bool) {
        let world = world();
        let state = world.proven(1);
        let mut evidence = world.slot(address(0x11), slot);
        prop_assume!(evidence.value != U256::from(value));
        evidence.value = U256::from(value);
        if drop {
            evidence.proof.pop();
        }
        prop_assert!(state.add_slot(address(0x11), &evidence).is_err());
    }
}
