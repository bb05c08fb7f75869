//! Any evidence: what is taken is what the world holds.
#![no_main]
#[allow(dead_code)]
#[path = "../../tests/it/world.rs"]
mod world;

use alloy_primitives::{Address, Bytes, U256};
use arbitrary::Arbitrary;
use authority_policy::{AccountEvidence, MAX_PROOF_NODES, ProvenState, SlotEvidence};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use world::{World, address};

#[derive(Debug, Arbitrary)]
struct Claim {
    account: u8,
    slot: u8,
    value: Option<u64>,
    nonce: Option<u64>,
    roots: Option<([u8; 32], [u8; 32])>,
    /// Nodes put in place of those of the honest proof, and how many of it stay.
    nodes: Vec<Vec<u8>>,
    stay: u8,
    flip: Option<(u8, u16)>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut world = World::of(&[b"\x60\x00", b"\x60\x01", b"", b"\x00"]);
    for slot in 0..40 {
        world.set(address(0x11), slot, slot * 5);
    }
    world
});

static ACCOUNTS: LazyLock<Vec<AccountEvidence>> = LazyLock::new(|| {
    (0..=255)
        .map(|byte| WORLD.account(Address::repeat_byte(byte)))
        .collect()
});
static SLOTS: LazyLock<Vec<SlotEvidence>> =
    LazyLock::new(|| (0..=255).map(|slot| WORLD.slot(address(0x11), slot)).collect());

fn nothing_proven() -> ProvenState {
    ProvenState::new(WORLD.header(1), Default::default())
}

fn tampered(honest: Vec<Bytes>, claim: &Claim) -> Vec<Bytes> {
    let mut proof: Vec<Bytes> = honest.into_iter().take(claim.stay as usize % 8).collect();
    proof.extend(claim.nodes.iter().cloned().map(Bytes::from));
    if let Some((node, bit)) = claim.flip {
        let index = node as usize % proof.len().max(1);
        if let Some(node) = proof.get_mut(index) {
            let mut bytes = node.to_vec();
            if let Some(byte) = bytes.get_mut(bit as usize / 8) {
                *byte ^= 1 << (bit % 8);
            }
            *node = bytes.into();
        }
    }
    proof
}

fuzz_target!(|claim: Claim| {
    let who = Address::repeat_byte(claim.account);
    let honest = &ACCOUNTS[claim.account as usize];
    let mut evidence = AccountEvidence {
        proof: tampered(honest.proof.clone(), &claim),
        ..honest.clone()
    };
    evidence.nonce = claim.nonce.unwrap_or(evidence.nonce);
    if let Some((storage, code)) = claim.roots {
        (evidence.storage_root, evidence.code_hash) = (storage.into(), code.into());
    }
    let state = nothing_proven();
    if state.add_account(&evidence).is_ok() {
        // An absent account may be claimed with zero hashes or with those of emptiness: what counts is what is held.
        let truth = nothing_proven();
        truth.add_account(honest).unwrap();
        assert_eq!(state.account(who), truth.account(who));
        assert_eq!((evidence.nonce, evidence.balance), (honest.nonce, honest.balance));
    }
    let state = WORLD.proven(1);
    let honest = SLOTS[claim.slot as usize].clone();
    let evidence = SlotEvidence {
        slot: honest.slot,
        value: claim.value.map_or(honest.value, U256::from),
        proof: tampered(honest.proof, &claim),
    };
    if state.add_slot(address(0x11), &evidence).is_ok() {
        assert_eq!(evidence.value, honest.value);
    }
    assert!(state.nodes().len().0 <= 2 * MAX_PROOF_NODES);
});
