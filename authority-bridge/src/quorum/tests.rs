//! Random chains and random liars against the vote: what a minority says changes nothing but its own report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::{
    state::{Look, State},
    vote,
};
use crate::{BridgeConfig, BridgeError, EndpointConfig, members::Members};
use alloy::consensus::Header;
use authority_policy::ProvenHeader;
use kms_types::{ChainAddress, ChainId};
use proptest::prelude::*;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

const LENGTH: u64 = 24;

fn child(parent: Option<&ProvenHeader>, mark: u8) -> Arc<ProvenHeader> {
    let number = parent.map_or(0, |parent| parent.number() + 1);
    let header = Header {
        number,
        timestamp: number * 12,
        parent_hash: parent.map_or_else(Default::default, ProvenHeader::hash),
        extra_data: vec![mark].into(),
        ..Header::default()
    };
    let hash = header.hash_slow();
    Arc::new(ProvenHeader::new(header, hash).unwrap())
}

/// A chain that leaves `trunk` after height `from`.
fn branch(trunk: &[Arc<ProvenHeader>], from: usize, mark: u8) -> Vec<Arc<ProvenHeader>> {
    let mut blocks: Vec<_> = trunk.iter().take(from).cloned().collect();
    while (blocks.len() as u64) < LENGTH {
        let next = child(blocks.last().map(|block| &**block), mark);
        blocks.push(next);
    }
    blocks
}

/// Names for the endpoints; making their clients takes long, so it is done once.
fn members() -> &'static Members {
    static MEMBERS: OnceLock<Members> = OnceLock::new();
    MEMBERS.get_or_init(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url = |index: usize| format!("http://127.0.0.{index}:1").parse::<url::Url>().unwrap();
        let endpoints = (1..=7).map(|index| EndpointConfig::from(url(index))).collect();
        let config = BridgeConfig::new(ChainId(1), ChainAddress::new([1; 20]), endpoints);
        Members::new(&config).unwrap()
    })
}

/// What one endpoint says: which branch, its head and its finalized block there.
#[derive(Debug, Clone, Copy)]
struct Said {
    branch: usize,
    head: usize,
    finalized: usize,
}

fn say(state: &mut State, chains: &[Vec<Arc<ProvenHeader>>], index: usize, said: Said) {
    let chain = &chains[said.branch % chains.len()];
    let head = said.head.min(chain.len() - 1);
    for block in &chain[..=head] {
        state.tree.insert(Arc::clone(block));
    }
    // A finalized block may lie after the head, or on another branch than the head.
    let finalized = &chains[(said.branch + said.finalized / 24) % chains.len()][said.finalized % chain.len()];
    state.take(index, Arc::clone(&chain[head]), Arc::clone(finalized));
}

fn look(state: &mut State, members: &Members, needed: usize) -> Look {
    state.round += 1;
    let round = state.round;
    state.look(members, needed, Duration::from_secs(3600), round)
}

fn lies() -> impl Strategy<Value = Said> {
    (0..4usize, 0..24usize, 0..48usize).prop_map(|(branch, head, finalized)| Said {
        branch,
        head,
        finalized,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    // Liars may even know the honest endpoints' branch; as long as they are fewer than what is left over, head and
    // finalized block are those of the honest chain, and every step is served.
    #[test]
    fn c2_a_minority_of_liars_decides_nothing(
        (count, needed) in prop_oneof![Just((3, 2)), Just((4, 3)), Just((5, 3)), Just((7, 4))],
        fork in 1..20usize,
        steps in prop::collection::vec((4..23usize, prop::collection::vec((0..2usize, 0..4usize), 7), prop::collection::vec(lies(), 7)), 1..8),
    ) {
        let honest = branch(&[], 0, 0);
        let chains = [honest.clone(), branch(&honest, fork, 1), branch(&honest, 0, 2), branch(&honest, fork + 1, 3)];
        let (members, liars) = (members(), count - needed);
        let mut state = State::new(count);
        let mut heights: Vec<usize> = steps.iter().map(|step| step.0).collect();
        heights.sort_unstable();
        let (mut head, mut finalized) = (0, 0);
        for (height, (_, lags, lies)) in heights.into_iter().zip(steps) {
            for index in 0..count {
                let (lag, behind) = lags[index];
                let truth = Said { branch: 0, head: height - lag, finalized: (height - lag).saturating_sub(2 + behind) };
                say(&mut state, &chains, index, if index < liars { lies[index] } else { truth });
            }
            let tip = look(&mut state, members, needed).tip.unwrap();
            prop_assert_eq!(tip.head.hash(), honest[tip.head.number() as usize].hash());
            prop_assert_eq!(tip.finalized.hash(), honest[tip.finalized.number() as usize].hash());
            // As far as all honest endpoints are, and no further than one of them.
            prop_assert!(tip.head.number() as usize >= height - 1 && tip.head.number() as usize <= height);
            prop_assert!(tip.finalized.number() as usize <= height - 2);
            prop_assert!(tip.finalized.number() as usize + 6 >= height);
            prop_assert!(tip.finalized.number() <= tip.head.number());
            // C5: nothing goes back.
            prop_assert!(tip.head.number() >= head && tip.finalized.number() >= finalized);
            (head, finalized) = (tip.head.number(), tip.finalized.number());
        }
    }

    // Where all must agree, one honest endpoint is enough to keep every invented block out.
    #[test]
    fn c2_where_all_must_agree_the_last_honest_one_is_enough(
        fork in 1..20usize,
        height in 4..23usize,
        lies in prop::collection::vec(lies(), 2),
    ) {
        let honest = branch(&[], 0, 0);
        let chains = [honest.clone(), branch(&honest, fork, 1), branch(&honest, 0, 2), branch(&honest, fork + 1, 3)];
        let members = members();
        let mut state = State::new(3);
        for (index, lie) in lies.into_iter().enumerate() {
            say(&mut state, &chains, index, lie);
        }
        say(&mut state, &chains, 2, Said { branch: 0, head: height, finalized: height - 2 });
        match look(&mut state, members, 3).tip {
            Ok(tip) => {
                prop_assert_eq!(tip.head.hash(), honest[tip.head.number() as usize].hash());
                prop_assert_eq!(tip.finalized.hash(), honest[tip.finalized.number() as usize].hash());
                prop_assert!(tip.finalized.number() as usize <= height - 2);
            }
            Err(BridgeError::Split { .. } | BridgeError::Unavailable { .. }) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

#[test]
fn c2_a_disagreement_that_lasts_is_told_and_one_that_ends_is_not() {
    let honest = branch(&[], 0, 0);
    let chains = [honest.clone(), branch(&honest, 10, 1)];
    let (members, mut state) = (members(), State::new(2));
    let both = |state: &mut State, (first, second): (usize, usize), head, patience| {
        for (index, branch) in [first, second].into_iter().enumerate() {
            let finalized = 5;
            say(
                state,
                &chains,
                index,
                Said {
                    branch,
                    head,
                    finalized,
                },
            );
        }
        let round = state.round;
        state.look(members, 2, patience, round).tip
    };
    assert_eq!(
        both(&mut state, (0, 0), 8, Duration::ZERO).unwrap().head.number(),
        8
    );
    // They part after block 9: the newest block of both is still a new head.
    assert_eq!(
        both(&mut state, (0, 1), 11, Duration::MAX).unwrap().head.number(),
        9
    );
    let error = both(&mut state, (0, 1), 12, Duration::ZERO).unwrap_err();
    let BridgeError::Split { height, views } = error else {
        unreachable!("{error}")
    };
    assert_eq!((height, views.len()), (10, 2));
    assert_eq!(views[0], ("http://127.0.0.1:1".to_owned(), chains[0][10].hash()));
    assert_eq!(views[1], ("http://127.0.0.2:1".to_owned(), chains[1][10].hash()));
    assert_eq!(
        both(&mut state, (1, 1), 13, Duration::ZERO).unwrap().head.hash(),
        chains[1][13].hash()
    );
}

#[test]
fn c5_a_removed_block_that_one_still_has_takes_back_no_newer_head() {
    let honest = branch(&[], 0, 0);
    let chains = [honest.clone(), branch(&honest, 10, 1)];
    let (members, mut state) = (members(), State::new(3));
    let tip = |state: &mut State, said: [(usize, usize); 3]| {
        for (index, (branch, head)) in said.into_iter().enumerate() {
            let finalized = 5;
            say(
                state,
                &chains,
                index,
                Said {
                    branch,
                    head,
                    finalized,
                },
            );
        }
        look(state, members, 2).tip.unwrap().head.hash()
    };
    // The second lags on the branch that was removed, where the third joins it.
    assert_eq!(tip(&mut state, [(0, 14), (1, 12), (0, 14)]), chains[0][14].hash());
    assert_eq!(tip(&mut state, [(0, 14), (1, 12), (1, 13)]), chains[0][14].hash());
    // A failed request of the only one that has it changes nothing.
    state.claims[0].stands = false;
    let still = look(&mut state, members, 2).tip.unwrap().head.hash();
    assert_eq!(still, chains[0][14].hash());
    // A head after the agreed one is another matter, and so is one everybody went back to.
    assert_eq!(tip(&mut state, [(0, 14), (1, 15), (1, 15)]), chains[1][15].hash());
    assert_eq!(tip(&mut state, [(0, 14), (0, 14), (0, 14)]), chains[0][14].hash());
}

#[test]
fn c7_enough_endpoints_that_leave_a_final_block_are_named_with_both_hashes() {
    let honest = branch(&[], 0, 0);
    let chains = [honest.clone(), branch(&honest, 10, 1)];
    let (members, mut state) = (members(), State::new(3));
    for index in 0..3 {
        say(
            &mut state,
            &chains,
            index,
            Said {
                branch: 0,
                head: 14,
                finalized: 12,
            },
        );
    }
    assert!(look(&mut state, members, 2).tip.is_ok());
    for index in 1..3 {
        say(
            &mut state,
            &chains,
            index,
            Said {
                branch: 1,
                head: 16,
                finalized: 9,
            },
        );
    }
    let error = look(&mut state, members, 2).tip.unwrap_err();
    let BridgeError::Disagreement {
        endpoint,
        number,
        expected,
        actual,
    } = error
    else {
        unreachable!("{error}")
    };
    assert_eq!(
        (endpoint.as_str(), number),
        ("http://127.0.0.2:1, http://127.0.0.3:1", 12)
    );
    assert_eq!(
        (expected, actual),
        (chains[0][12].hash().to_string(), chains[1][12].hash().to_string())
    );
}

#[test]
fn heights_far_apart_are_compared_without_walking_between_them() {
    let low = child(None, 0);
    let mut fields = low.fields().clone();
    fields.number = u64::MAX;
    let hash = fields.hash_slow();
    let high = Arc::new(ProvenHeader::new(fields, hash).unwrap());
    let view = |index, block: &Arc<ProvenHeader>| vote::View {
        index,
        path: vec![Arc::clone(block)],
        finalized: None,
    };
    assert_eq!(vote::conflict(&[view(0, &low), view(1, &high)], None), None);
    assert!(vote::head(&[view(0, &low), view(1, &high)], 2).is_none());
}
