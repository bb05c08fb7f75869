//! Execution over proven state: what it needs is named, what is not an answer is an error.

use crate::world::{RULES, World, address};
use alloy_primitives::{B256, Bytes, U256};
use authority_policy::{
    EvmRules, Hardfork, HardforkRule, Missing, Outcome, PolicyError, ProvenState, Stop, execute,
};
use proptest::prelude::*;
use std::sync::Arc;

/// Returns the word on top of the stack.
const RETURN: &[u8] = &[0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3];

fn code(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn run(state: &ProvenState) -> Result<Outcome<Bytes>, Stop> {
    execute(state, &RULES, address(0x11), Bytes::new())
}

fn alone(code: &[u8]) -> Result<Outcome<Bytes>, Stop> {
    run(&World::of(&[code]).proven(5))
}

fn word(value: u64) -> Bytes {
    U256::from(value).to_be_bytes::<32>().into()
}

#[test]
fn c3_what_is_not_proven_is_named_and_never_defaulted() {
    let mut world = World::of(&[&code(&[&[0x60, 7, 0x54], RETURN])]);
    world.set(address(0x11), 7, 42);
    let state = ProvenState::new(world.header(5), Arc::default());
    let here = address(0x11);
    assert_eq!(run(&state), Err(Missing::Account(here).into()));
    state.add_account(&world.account(here)).unwrap();
    let code_hash = world.account(here).code_hash;
    assert_eq!(
        run(&state),
        Err(Missing::Code {
            address: here,
            code_hash
        }
        .into())
    );
    state.add_code(here, world.accounts[&here].code.clone()).unwrap();
    let slot = B256::from(U256::from(7));
    assert_eq!(run(&state), Err(Missing::Slot { address: here, slot }.into()));
    state.add_slot(here, &world.slot(here, 7)).unwrap();
    let outcome = run(&state).unwrap();
    assert_eq!(outcome.value, word(42));
    assert_eq!(outcome.reads.slots().collect::<Vec<_>>(), [(here, slot)]);
    assert!(outcome.reads.window().is_some());
}

#[test]
fn c3_a_contract_cannot_swallow_that_something_is_missing() {
    // Calls 0x99…, ignores the result, and answers 1.
    let mut call = vec![0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x73];
    call.extend_from_slice(address(0x99).as_slice());
    call.extend_from_slice(&[0x61, 0xff, 0xff, 0xf1, 0x50, 0x60, 1]);
    assert_eq!(
        alone(&code(&[&call, RETURN])),
        Err(Missing::Account(address(0x99)).into())
    );
    // The same one call deeper: 0x11… calls 0x22…, which reads an unproven balance.
    let mut outer = vec![0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x73];
    outer.extend_from_slice(address(0x22).as_slice());
    outer.extend_from_slice(&[0x61, 0xff, 0xff, 0xf1, 0x50, 0x60, 1]);
    let mut inner = vec![0x73];
    inner.extend_from_slice(address(0x77).as_slice());
    inner.extend_from_slice(&[0x31, 0x00]);
    let world = World::of(&[&code(&[&outer, RETURN]), &inner]);
    assert_eq!(run(&world.proven(5)), Err(Missing::Account(address(0x77)).into()));
}

#[test]
fn c3_block_hashes_balances_and_foreign_code_are_not_invented() {
    // blockhash(number - 1)
    let asked = alone(&code(&[&[0x60, 1, 0x43, 0x03, 0x40], RETURN]));
    assert_eq!(asked, Err(Missing::BlockHash(4).into()));
    for opcode in [0x31, 0x3b, 0x3f] {
        let mut program = vec![0x73];
        program.extend_from_slice(address(0x77).as_slice());
        program.push(opcode);
        let asked = alone(&code(&[&program, RETURN]));
        assert_eq!(asked, Err(Missing::Account(address(0x77)).into()), "{opcode:#x}");
    }
}

#[test]
fn c6_only_a_call_that_returns_is_an_answer() {
    let halted = |result: Result<_, _>| matches!(result, Err(Stop::Failed(PolicyError::Halted { .. })));
    assert!(halted(alone(&[0x5b, 0x60, 0x00, 0x56])), "a loop");
    assert!(halted(alone(&[0xfe])), "a bad instruction");
    assert!(
        halted(alone(&code(&[&[0x63, 0xff, 0xff, 0xff, 0xff], &[0x51]]))),
        "memory without end"
    );
    let reverted = alone(&[0x5f, 0x5f, 0xfd]);
    assert!(
        matches!(reverted, Err(Stop::Failed(PolicyError::Reverted { .. }))),
        "{reverted:?}"
    );
    let mut empty = World::of(&[]);
    empty.accounts.insert(address(0x11), Default::default());
    let nothing = run(&empty.proven(5));
    assert!(
        matches!(nothing, Err(Stop::Failed(PolicyError::NoCode { block: 5, .. }))),
        "{nothing:?}"
    );
}

#[test]
fn the_block_a_contract_sees_is_the_headers_and_looking_at_it_is_noted() {
    for (opcode, expected) in [
        (0x42, 1_800_000_000),
        (0x43, 5),
        (0x45, 30_000_000),
        (0x48, 7),
        (0x41, 0),
        (0x44, 0),
    ] {
        let outcome = alone(&code(&[&[opcode], RETURN])).unwrap();
        assert_eq!(outcome.value, word(expected), "{opcode:#x}");
        assert!(outcome.reads.window().is_none(), "{opcode:#x}");
    }
    // C3: how it follows from the header changes without a trace in the header.
    let blob_fee = alone(&code(&[&[0x4a], RETURN]));
    assert!(
        matches!(&blob_fee, Err(Stop::Failed(PolicyError::Evm(why))) if why.contains("blob base fee")),
        "{blob_fee:?}"
    );
    // Chain id, caller and origin are the same at every block.
    for (opcode, expected) in [(0x46, 31337), (0x33, 0), (0x32, 0)] {
        let outcome = alone(&code(&[&[opcode], RETURN])).unwrap();
        assert_eq!(outcome.value, word(expected), "{opcode:#x}");
        assert!(outcome.reads.window().is_some(), "{opcode:#x}");
    }
}

#[test]
fn the_fork_follows_the_header_unless_it_is_fixed() {
    // CLZ came with Osaka.
    let world = World::of(&[&code(&[&[0x60, 1, 0x1e], RETURN])]);
    let state = world.proven(5);
    assert_eq!(run(&state).unwrap().value, word(255));
    let fixed = EvmRules {
        hardfork: HardforkRule::Fixed(Hardfork::Prague),
        ..RULES
    };
    let refused = execute(&state, &fixed, address(0x11), Bytes::new());
    assert!(
        matches!(refused, Err(Stop::Failed(PolicyError::Halted { .. }))),
        "{refused:?}"
    );
}

#[test]
fn a_call_may_use_its_gas_limit_and_no_more() {
    let spend = code(&[&[0x5a], RETURN]);
    let outcome = alone(&spend).unwrap();
    assert!(U256::from_be_slice(&outcome.value) < U256::from(RULES.gas_limit));
    assert!(outcome.gas_used < 30_000);
    // Beyond a block's own limit and beyond EIP-7825, as eth_call allows.
    let rules = EvmRules {
        gas_limit: 100_000_000,
        ..RULES
    };
    let state = World::of(&[&spend]).proven(5);
    let outcome = execute(&state, &rules, address(0x11), Bytes::new()).unwrap();
    assert!(U256::from_be_slice(&outcome.value) > U256::from(99_000_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn any_code_ends_within_its_gas(code in prop::collection::vec(any::<u8>(), 1..64), data in prop::collection::vec(any::<u8>(), 0..64)) {
        // A delegation of another length is no code at all: the state refuses it (`Eip7702`).
        prop_assume!(!code.starts_with(&[0xef, 0x01]));
        let state = World::of(&[&code]).proven(5);
        if let Ok(outcome) = execute(&state, &RULES, address(0x11), data.into()) {
            prop_assert!(outcome.gas_used <= RULES.gas_limit);
        }
    }
}

#[test]
fn c6_code_that_is_no_delegation_is_refused() {
    // EIP-7702 code is 0xef0100 and an address; anything else with that beginning is none.
    for code in [
        &[0xef, 0x01][..],
        &[0xef, 0x01, 0x00],
        &[&[0xef, 0x01, 0x07][..], &[1; 20]].concat(),
    ] {
        let world = World::of(&[code]);
        let state = ProvenState::new(world.header(5), Arc::default());
        state.add_account(&world.account(address(0x11))).unwrap();
        let refused = state.add_code(address(0x11), Bytes::copy_from_slice(code));
        assert!(matches!(refused, Err(PolicyError::Evm(_))), "{refused:?}");
    }
}

/// Time of [`World`]s without an offset.
const NOW: u32 = 1_800_000_000;

fn at(code: &[u8], offset: u64) -> Outcome<Bytes> {
    let mut world = World::of(&[code]);
    world.time = offset;
    run(&world.proven(5)).unwrap()
}

/// Compares the time with a bound: `order` 0 has the time on the left.
fn comparison(instruction: u8, order: u8, bound: u32) -> Vec<u8> {
    let push = [&[0x63][..], &bound.to_be_bytes()].concat();
    // Cut to 64 bits first, as compilers do.
    let time = [&[0x42, 0x67][..], &[0xff; 8], &[0x16]].concat();
    let operands = if order == 0 { [push, time] } else { [time, push] };
    code(&[&operands.concat(), &[instruction], RETURN])
}

#[test]
fn c5_a_verdict_that_compared_the_time_holds_until_the_bound_and_no_longer() {
    let program = comparison(0x10, 0, NOW + 100);
    let outcome = at(&program, 50);
    assert_eq!(outcome.value, word(1));
    let window = outcome.reads.window().unwrap();
    assert!(window.contains(u64::from(NOW) + 99) && !window.contains(u64::from(NOW) + 100));
    assert_eq!(at(&program, 100).value, word(0));
    let after = at(&program, 101);
    assert_eq!(after.value, word(0));
    let window = after.reads.window().unwrap();
    assert!(window.contains(u64::from(NOW) + 100) && !window.contains(u64::from(NOW) + 99));
}

#[test]
fn c5_a_time_that_was_stored_returned_or_calculated_with_holds_at_its_block_alone() {
    let programs: [&[u8]; 8] = [
        &[0x42],                               // returned
        &[0x60, 1, 0x42, 0x01],                // added to
        &[0x60, 1, 0x42, 0x03],                // taken from
        &[0x42, 0x15],                         // compared with zero
        &[0x42, 0x42, 0x14],                   // compared for equality
        &[0x42, 0x42, 0x10],                   // compared with itself
        &[0x60, 0xff, 0x42, 0x16],             // cut until it is another number
        &[0x42, 0x80, 0x50, 0x5f, 0x55, 0x5f], // stored
    ];
    for program in programs.iter().take(7) {
        let outcome = alone(&code(&[program, RETURN])).unwrap();
        assert_eq!(outcome.reads.window(), None, "{program:x?}");
    }
    // A stored value may be read back; the account's slot is proven first.
    let world = World::of(&[&code(&[programs[7], RETURN])]);
    let state = world.proven(5);
    state
        .add_slot(address(0x11), &world.slot(address(0x11), 0))
        .unwrap();
    assert_eq!(run(&state).unwrap().reads.window(), None);
    // Never looked at: holds at any time.
    let outcome = alone(&code(&[&[0x60, 1], RETURN])).unwrap();
    assert!(
        outcome
            .reads
            .window()
            .is_some_and(|window| window.contains(0) && window.contains(u64::MAX))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn c5_inside_its_window_the_time_changes_no_answer(
        instruction in prop::sample::select(vec![0x10u8, 0x11]), order in 0u8..2, bound in NOW - 3..NOW + 4, first in 0u64..4, second in 0u64..4,
    ) {
        let program = comparison(instruction, order, bound);
        let (one, other) = (at(&program, first), at(&program, second));
        if let Some(window) = one.reads.window() {
            prop_assert!(window.contains(u64::from(NOW) + first));
            // One comparison: outside its window the answer is the other one.
            let inside = window.contains(u64::from(NOW) + second);
            prop_assert_eq!(inside, one.value == other.value);
        } else {
            prop_assert_eq!(u64::from(bound), u64::from(NOW) + first);
        }
    }
}
