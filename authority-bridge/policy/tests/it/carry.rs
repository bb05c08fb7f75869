//! What stays proven from one block to the next, what has to be proven anew, and what is forgotten.

use crate::world::{RULES, World, address};
use alloy_primitives::{Address, B256, Bytes, U256};
use authority_policy::{Ask, Gap, Missing, Outcome, ProvenState, Stop, Tracked, execute};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

const HERE: Address = Address::repeat_byte(0x11);
/// Returns slot 7.
const READ_SEVEN: &[u8] = &[0x60, 7, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3];

fn world() -> World {
    let mut world = World::of(&[READ_SEVEN, b"\x00"]);
    for slot in 0..40 {
        world.set(HERE, slot, slot + 1);
    }
    world.set(address(0x22), 7, 1);
    world
}

fn slot(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn asked(state: &ProvenState) -> Result<Outcome<Bytes>, Stop> {
    execute(state, &RULES, HERE, Bytes::new())
}

fn proven(world: &World) -> ProvenState {
    let state = world.proven(1);
    state.add_slot(HERE, &world.slot(HERE, 7)).unwrap();
    state
}

fn next(world: &World, old: &ProvenState) -> ProvenState {
    ProvenState::new(world.header(old.header().number() + 1), Arc::clone(old.nodes()))
}

fn tracked(state: &ProvenState) -> Tracked {
    let mut tracked = Tracked::default();
    assert!(tracked.note(&asked(state).unwrap().reads));
    tracked
}

fn prove(world: &World, state: &ProvenState, gaps: &[Gap]) {
    for gap in gaps {
        state.add_account(&world.account(gap.address)).unwrap();
        let numbers: Vec<u64> = gap
            .slots
            .iter()
            .map(|slot| U256::from_be_bytes(slot.0).to())
            .collect();
        for slot in world.slots(gap.address, &numbers) {
            state.add_slot(gap.address, &slot).unwrap();
        }
        if gap.code {
            let code = world.accounts[&gap.address].code.clone();
            state.add_code(gap.address, code).unwrap();
        }
    }
}

#[test]
fn the_same_state_root_keeps_everything() {
    let world = world();
    let state = proven(&world);
    let outcome = asked(&state).unwrap();
    let next = next(&world, &state);
    assert_eq!(next.header().number(), 2);
    assert!(outcome.reads.hold_in(&next, &RULES));
    assert_eq!(asked(&next).unwrap().value, outcome.value);
    assert_eq!(tracked(&state).gaps(Some(&state), &next, Ask::One), []);
}

#[test]
fn c7_a_changed_slot_is_not_known_until_it_is_proven_again() {
    let mut world = world();
    let state = proven(&world);
    let (outcome, tracked) = (asked(&state).unwrap(), tracked(&state));
    world.set(HERE, 7, 99);
    let next = next(&world, &state);
    assert!(!outcome.reads.hold_in(&next, &RULES));
    assert_eq!(asked(&next), Err(Missing::Account(HERE).into()));
    let gap = |slots| {
        [Gap {
            address: HERE,
            slots,
            code: false,
        }]
    };
    // First the account, whose new storage root then shows that the slot changed.
    assert_eq!(tracked.gaps(Some(&state), &next, Ask::One), gap(Vec::new()));
    next.add_account(&world.account(HERE)).unwrap();
    assert_eq!(
        asked(&next),
        Err(Missing::Slot {
            address: HERE,
            slot: slot(7)
        }
        .into())
    );
    assert_eq!(tracked.gaps(Some(&state), &next, Ask::One), gap(vec![slot(7)]));
    next.add_slot(HERE, &world.slot(HERE, 7)).unwrap();
    assert_eq!(tracked.gaps(Some(&state), &next, Ask::One), []);
    assert!(!outcome.reads.hold_in(&next, &RULES));
    assert_ne!(asked(&next).unwrap().value, outcome.value);
    // The old block's state is what it was.
    assert_eq!(asked(&state).unwrap().value, outcome.value);
}

#[test]
fn a_verdict_holds_while_another_slot_of_the_same_contract_changes() {
    let mut world = world();
    let state = proven(&world);
    let (outcome, tracked) = (asked(&state).unwrap(), tracked(&state));
    world.set(HERE, 8, 99);
    let next = next(&world, &state);
    for _ in 0..2 {
        prove(&world, &next, &tracked.gaps(Some(&state), &next, Ask::One));
    }
    assert_eq!(tracked.gaps(Some(&state), &next, Ask::One), []);
    assert!(outcome.reads.hold_in(&next, &RULES));
}

#[test]
fn a_changed_balance_nonce_or_code_voids_what_read_the_account() {
    let changes: [fn(&mut crate::world::Account); 3] = [
        |account| account.balance = U256::from(1),
        |account| account.nonce = 9,
        |account| account.code = Bytes::from_static(b"\x5f\x00"),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut world = world();
        let state = proven(&world);
        let (outcome, tracked) = (asked(&state).unwrap(), tracked(&state));
        change(world.accounts.get_mut(&HERE).unwrap());
        let next = next(&world, &state);
        prove(&world, &next, &tracked.gaps(Some(&state), &next, Ask::One));
        assert!(!outcome.reads.hold_in(&next, &RULES));
        let code = tracked.gaps(Some(&state), &next, Ask::One);
        let expected = Gap {
            address: HERE,
            slots: Vec::new(),
            code: true,
        };
        assert_eq!(code, if index == 2 { vec![expected] } else { Vec::new() });
        prove(&world, &next, &code);
        assert!(asked(&next).is_ok());
    }
}

#[test]
fn c5_a_verdict_that_looked_at_the_time_holds_at_no_other_block() {
    // Returns the time.
    let world = World::of(&[&[0x42, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]]);
    let state = world.proven(1);
    let outcome = asked(&state).unwrap();
    assert!(!outcome.reads.hold_in(&next(&world, &state), &RULES));
}

#[test]
fn a_verdict_does_not_hold_where_another_account_it_touched_is_warm() {
    // Returns the gas that is left after looking at a balance.
    let mut code = vec![0x73];
    code.extend_from_slice(address(0x22).as_slice());
    code.extend_from_slice(&[0x31, 0x50, 0x5a, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]);
    let world = World::of(&[&code, b"\x00"]);
    let state = world.proven(1);
    let outcome = asked(&state).unwrap();
    let paid = |to: Address| {
        let mut fields = world.fields(2);
        fields.beneficiary = to;
        let hash = fields.hash_slow();
        let header = authority_policy::ProvenHeader::new(fields, hash).unwrap();
        ProvenState::new(header, Arc::clone(state.nodes()))
    };
    let warm = paid(address(0x22));
    assert_ne!(asked(&warm).unwrap().value, outcome.value);
    assert!(!outcome.reads.hold_in(&warm, &RULES));
    assert!(outcome.reads.hold_in(&paid(address(0x99)), &RULES));
}

#[test]
fn c3_an_old_proof_does_not_show_a_new_state() {
    let mut world = world();
    let state = proven(&world);
    let old = world.account(HERE);
    world.set(HERE, 7, 2);
    let next = next(&world, &state);
    assert!(next.add_account(&old).is_err());
    assert_eq!(next.account(HERE), Err(Missing::Account(HERE)));
}

#[test]
fn what_nothing_tracks_is_forgotten() {
    let world = world();
    let state = proven(&world);
    state.add_slot(HERE, &world.slot(HERE, 8)).unwrap();
    let tracked = tracked(&state);
    tracked.sweep(state.nodes(), [state.header().state_root()]);
    assert!(asked(&state).is_ok());
    assert!(state.slot(HERE, slot(8)).is_err());
    let other = address(0x22);
    assert_eq!(state.account(other), Err(Missing::Account(other)));
    assert_eq!(state.nodes().len().1, 1);
    tracked.sweep(state.nodes(), []);
    assert!(state.nodes().is_empty());
}

#[test]
fn a_witness_proves_what_was_read_and_no_more() {
    let world = world();
    let state = proven(&world);
    state.add_slot(HERE, &world.slot(HERE, 8)).unwrap();
    let outcome = asked(&state).unwrap();
    let witness = state.witness(&outcome.reads).unwrap();
    let rebuilt = |witness| {
        let nodes = authority_policy::TrieNodes::of(&witness).unwrap();
        ProvenState::new(world.header(1), Arc::new(nodes))
    };
    assert_eq!(asked(&rebuilt(witness.clone())).unwrap(), outcome);
    assert!(rebuilt(witness.clone()).slot(HERE, slot(8)).is_err());
    for index in 0..witness.nodes.len() {
        let mut less = witness.clone();
        less.nodes.remove(index);
        assert!(
            matches!(asked(&rebuilt(less)), Err(Stop::Missing(_))),
            "without node {index}"
        );
    }
    let mut less = witness;
    less.codes.clear();
    assert!(matches!(
        asked(&rebuilt(less)),
        Err(Stop::Missing(Missing::Code { .. }))
    ));
}

/// A contract with `count` slots, all tracked, and the number of slots asked for until the next block is known.
fn cost(count: u64, changed: &BTreeSet<u64>, ask: Ask) -> (usize, usize) {
    let mut world = World::of(&[READ_SEVEN]);
    for slot in 0..count {
        world.set(HERE, slot, slot + 1);
    }
    let state = world.proven(1);
    let mut tracked = Tracked::default();
    // Reads every slot there is: PUSH2 slot SLOAD POP …
    let mut code = Vec::new();
    let slots: Vec<u64> = (0..count).collect();
    for (slot, evidence) in (0..count).zip(world.slots(HERE, &slots)) {
        state.add_slot(HERE, &evidence).unwrap();
        code.extend_from_slice(&[0x61, (slot >> 8) as u8, slot as u8, 0x54, 0x50]);
    }
    code.push(0);
    let mut reader = world.clone();
    reader.accounts.get_mut(&HERE).unwrap().code = code.into();
    let all = reader.proven_in(1, Arc::clone(state.nodes()));
    let rules = authority_policy::EvmRules {
        gas_limit: 100_000_000,
        ..RULES
    };
    tracked.note(&execute(&all, &rules, HERE, Bytes::new()).unwrap().reads);
    for slot in changed {
        world.set(HERE, *slot, 1_000_000 + slot);
    }
    let next = next(&world, &state);
    let (mut rounds, mut slots) = (0, 0);
    loop {
        let gaps = tracked.gaps(Some(&state), &next, ask);
        if gaps.is_empty() {
            break;
        }
        rounds += 1;
        slots += gaps.iter().map(|gap| gap.slots.len()).sum::<usize>();
        prove(&world, &next, &gaps);
    }
    for slot in 0..count {
        let expected = if changed.contains(&slot) {
            1_000_000 + slot
        } else {
            slot + 1
        };
        assert_eq!(next.slot(HERE, self::slot(slot)), Ok(U256::from(expected)));
    }
    (rounds, slots)
}

#[test]
fn what_is_asked_for_follows_what_changed_and_not_what_is_tracked() {
    assert_eq!(cost(300, &BTreeSet::new(), Ask::One), (0, 0));
    let (rounds, slots) = cost(300, &[123].into(), Ask::One);
    assert!(slots <= 6 && rounds <= 6, "{rounds} rounds, {slots} slots");
    let (rounds, slots) = cost(300, &[123, 7, 299].into(), Ask::One);
    assert!(slots <= 12 && rounds <= 8, "{rounds} rounds, {slots} slots");
    let (rounds, slots) = cost(300, &[123].into(), Ask::EachChild);
    assert!(slots <= 48 && rounds <= 4, "{rounds} rounds, {slots} slots");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn every_tracked_slot_is_right_after_any_change(changed in prop::collection::btree_set(0u64..150, 0..12), each: bool) {
        let ask = if each { Ask::EachChild } else { Ask::One };
        let (_, slots) = cost(150, &changed, ask);
        prop_assert!(!changed.is_empty() || slots == 0);
    }
}
