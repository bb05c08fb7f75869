//! Any code, called with any data, ends within its gas and never answers over unproven state.
#![no_main]
#[allow(dead_code)]
#[path = "../../tests/it/world.rs"]
mod world;

use authority_policy::execute;
use libfuzzer_sys::fuzz_target;
use world::{RULES, World, address};

fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<u8>)| {
    let (code, other, data) = input;
    // Refused before execution; c6_code_that_is_no_delegation_is_refused holds it.
    if [&code, &other].iter().any(|code| code.starts_with(&[0xef, 0x01])) {
        return;
    }
    let state = World::of(&[&code, &other]).proven(1);
    if let Ok(outcome) = execute(&state, &RULES, address(0x11), data.into()) {
        assert!(outcome.gas_used <= RULES.gas_limit);
        assert!(outcome.reads.hold_in(&state, &RULES) || outcome.reads.window().is_none());
        assert!(
            outcome
                .reads
                .accounts()
                .all(|address| state.account(address).is_ok())
        );
    }
});
