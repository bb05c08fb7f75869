//! What may be carried from one block to the next, and what may not.

use crate::world::{RULES, World, address};
use alloy_primitives::{B256, Bytes, U256};
use authority_policy::{Outcome, PolicyError, ProvenState, execute};

const HERE: alloy_primitives::Address = alloy_primitives::Address::repeat_byte(0x11);
/// Returns slot 7.
const READ_SEVEN: &[u8] = &[0x60, 7, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3];

fn world() -> World {
    let mut world = World::of(&[READ_SEVEN, b"\x00"]);
    world.set(HERE, 7, 1);
    world.set(HERE, 8, 1);
    world.set(address(0x22), 7, 1);
    world
}

fn asked(state: &ProvenState) -> Outcome<Bytes> {
    execute(state, &RULES, HERE, Bytes::new()).unwrap()
}

fn proven(world: &World, number: u64) -> ProvenState {
    let mut state = world.proven(number);
    state.add_slot(HERE, &world.slot(HERE, 7)).unwrap();
    state
}

fn accounts(world: &World) -> Vec<authority_policy::AccountEvidence> {
    world
        .accounts
        .keys()
        .map(|address| world.account(*address))
        .collect()
}

#[test]
fn the_same_state_root_keeps_everything() {
    let world = world();
    let state = proven(&world, 1);
    let outcome = asked(&state);
    let next = state.advance(world.header(2), &[]).unwrap();
    assert_eq!(next.header().number(), 2);
    assert!(outcome.reads.hold_in(&next));
    assert_eq!(asked(&next).value, outcome.value);
}

#[test]
fn slots_stay_while_the_storage_root_stays() {
    let mut world = world();
    let state = proven(&world, 1);
    let outcome = asked(&state);
    world.set(address(0x22), 7, 2);
    let next = state.advance(world.header(2), &accounts(&world)).unwrap();
    assert!(outcome.reads.hold_in(&next));
    assert_eq!(asked(&next).value, outcome.value);
}

#[test]
fn c7_a_changed_storage_root_drops_the_slots_and_the_verdict_until_they_are_proven_again() {
    let mut world = world();
    let state = proven(&world, 1);
    let outcome = asked(&state);
    world.set(HERE, 8, 2);
    let mut next = state.advance(world.header(2), &accounts(&world)).unwrap();
    assert!(!outcome.reads.hold_in(&next));
    assert!(execute(&next, &RULES, HERE, Bytes::new()).is_err());
    next.add_slot(HERE, &world.slot(HERE, 7)).unwrap();
    // Another slot changed, not the one that was read.
    assert!(outcome.reads.hold_in(&next));

    world.set(HERE, 7, 3);
    let mut next = state.advance(world.header(3), &accounts(&world)).unwrap();
    next.add_slot(HERE, &world.slot(HERE, 7)).unwrap();
    assert!(!outcome.reads.hold_in(&next));
    assert_ne!(asked(&next).value, outcome.value);
}

#[test]
fn an_account_that_was_not_proven_anew_is_forgotten() {
    let mut world = world();
    let state = proven(&world, 1);
    world.set(address(0x22), 7, 2);
    let next = state.advance(world.header(2), &[]).unwrap();
    assert_eq!(next.size(), (0, 0));
    assert!(!asked(&state).reads.hold_in(&next));
}

#[test]
fn c3_an_old_account_proof_does_not_carry_over() {
    let mut world = world();
    let state = proven(&world, 1);
    let old = accounts(&world);
    world.set(HERE, 7, 2);
    let refused = state.advance(world.header(2), &old);
    assert!(
        matches!(refused, Err(PolicyError::AccountProof { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_changed_balance_nonce_or_code_voids_what_read_the_account() {
    let state = proven(&world(), 1);
    let outcome = asked(&state);
    let changes: [fn(&mut crate::world::Account); 3] = [
        |account| account.balance = U256::from(1),
        |account| account.nonce = 9,
        |account| account.code = Bytes::from_static(b"\x00"),
    ];
    for change in changes {
        let mut world = world();
        change(world.accounts.get_mut(&HERE).unwrap());
        let next = state.advance(world.header(2), &accounts(&world)).unwrap();
        assert!(!outcome.reads.hold_in(&next));
    }
}

#[test]
fn c5_a_verdict_that_looked_at_the_time_holds_at_no_other_block() {
    // Returns the time.
    let world = World::of(&[&[0x42, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]]);
    let state = world.proven(1);
    let outcome = asked(&state);
    let next = state.advance(world.header(2), &[]).unwrap();
    assert!(!outcome.reads.hold_in(&next));
}

#[test]
fn knowledge_of_the_same_state_is_joined_and_of_another_refused() {
    let mut world = world();
    let mut state = proven(&world, 1);
    let mut other = world.proven(1);
    other.add_slot(HERE, &world.slot(HERE, 8)).unwrap();
    state.absorb(&other).unwrap();
    let slot = |n: u64| B256::from(U256::from(n));
    assert_eq!(
        (state.slot(HERE, slot(7)), state.slot(HERE, slot(8))),
        (Some(U256::from(1)), Some(U256::from(1)))
    );
    world.set(HERE, 7, 2);
    let refused = state.absorb(&proven(&world, 2));
    assert!(
        matches!(refused, Err(PolicyError::OtherState { .. })),
        "{refused:?}"
    );
}

#[test]
fn what_nothing_needs_is_forgotten() {
    let world = world();
    let mut state = proven(&world, 1);
    state.add_slot(HERE, &world.slot(HERE, 8)).unwrap();
    let keep = [(HERE, [B256::from(U256::from(7))].into())].into();
    state.retain(&keep);
    assert_eq!(state.size(), (1, 1));
    assert_eq!(asked(&state).value, asked(&proven(&world, 1)).value);
}
