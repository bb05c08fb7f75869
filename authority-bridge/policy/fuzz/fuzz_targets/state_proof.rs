//! Any evidence: what is taken is what the world holds.
#![no_main]
#[allow(dead_code)]
#[path = "../../tests/it/world.rs"]
mod world;

use alloy_primitives::{Address, B256, Bytes, U256};
use arbitrary::Arbitrary;
use authority_policy::{AccountEvidence, ProvenState, SlotEvidence};
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
static EMPTY: LazyLock<ProvenState> = LazyLock::new(|| ProvenState::new(WORLD.header(1)));
static PROVEN: LazyLock<ProvenState> = LazyLock::new(|| WORLD.proven(1));

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
    let mut state = EMPTY.clone();
    if state.add_account(&evidence).is_ok() {
        // An absent account may be claimed with zero hashes or with those of emptiness: what counts is what is held.
        let mut truth = EMPTY.clone();
        truth.add_account(honest).unwrap();
        let held = |state: &ProvenState| (state.storage_root(who), state.code_hash(who));
        assert_eq!(held(&state), held(&truth));
        assert_eq!((evidence.nonce, evidence.balance), (honest.nonce, honest.balance));
    }
    let mut state = PROVEN.clone();
    let honest = SLOTS[claim.slot as usize].clone();
    let evidence = SlotEvidence {
        slot: honest.slot,
        value: claim.value.map_or(honest.value, U256::from),
        proof: tampered(honest.proof, &claim),
    };
    if state.add_slot(address(0x11), &evidence).is_ok() {
        assert_eq!(evidence.value, honest.value);
    }
    assert_eq!(state.slot(address(0x11), B256::repeat_byte(0xee)), None);
});
