//! Whom to ask next, and when: every node in turn, then a pause that grows. Synchronous; chance is an input.

use rand::{Rng, RngCore};
use std::time::Duration;

/// How patiently to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Pause after the first round over all nodes.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// Rounds over all nodes; at least one is made.
    pub rounds: u32,
}

impl RetryPolicy {
    /// One round, no pause.
    pub const ONCE: Self = Self {
        first: Duration::ZERO,
        longest: Duration::ZERO,
        rounds: 1,
    };

    /// The pause after `round` rounds, before chance is added.
    fn pause(&self, round: u32) -> Duration {
        let doublings = round.saturating_sub(1).min(30);
        self.first
            .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
            .min(self.longest)
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask the node of this index.
    Ask(usize),
    /// Wait, then ask the node of this index.
    WaitThenAsk(Duration, usize),
    /// Everyone was asked as often as allowed.
    GiveUp,
}

/// One search for a node that answers.
#[derive(Debug, Clone)]
pub struct Rotation {
    nodes: usize,
    first: usize,
    asked: usize,
    round: u32,
    policy: RetryPolicy,
}

impl Rotation {
    /// Over `nodes` nodes, from `first` on.
    pub const fn new(nodes: usize, first: usize, policy: RetryPolicy) -> Self {
        Self {
            nodes,
            first,
            asked: 0,
            round: 0,
            policy,
        }
    }

    /// The next step, at the start and after each node that gave no answer.
    pub fn next(&mut self, rng: &mut (impl RngCore + ?Sized)) -> Step {
        if self.nodes == 0 {
            return Step::GiveUp;
        }
        let wait = self.asked == self.nodes;
        if wait {
            self.round = self.round.saturating_add(1);
            self.asked = 0;
            if self.round >= self.policy.rounds {
                return Step::GiveUp;
            }
        }
        let node = self
            .first
            .saturating_add(self.asked)
            .checked_rem(self.nodes)
            .unwrap_or(0);
        self.asked = self.asked.saturating_add(1);
        if !wait {
            return Step::Ask(node);
        }
        let pause = self.policy.pause(self.round);
        // Guests of one host that all lost the KMS must not all come back in the same instant.
        let jittered = pause.mul_f64(rng.random_range(0.5..=1.0));
        Step::WaitThenAsk(jittered, node)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn steps(nodes: usize, first: usize, policy: RetryPolicy, seed: u64) -> Vec<Step> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut rotation = Rotation::new(nodes, first, policy);
        std::iter::from_fn(|| match rotation.next(&mut rng) {
            Step::GiveUp => None,
            step => Some(step),
        })
        .take(10_000)
        .collect()
    }

    #[test]
    fn one_round_asks_everyone_once_from_the_last_good_one_on() {
        assert_eq!(
            steps(3, 2, RetryPolicy::ONCE, 1),
            [Step::Ask(2), Step::Ask(0), Step::Ask(1)]
        );
        assert!(steps(0, 0, RetryPolicy::ONCE, 1).is_empty());
    }

    proptest! {
        #[test]
        fn every_node_is_asked_in_every_round_and_pauses_grow_within_bounds(
            nodes in 1_usize..6, first in 0_usize..6, rounds in 1_u32..9, seed: u64,
            (first_ms, longest_ms) in (1_u64..1000, 1_u64..100_000),
        ) {
            let policy = RetryPolicy {
                first: Duration::from_millis(first_ms),
                longest: Duration::from_millis(longest_ms),
                rounds,
            };
            let seen = steps(nodes, first, policy, seed);
            prop_assert_eq!(seen.len(), nodes * rounds as usize);
            for (round, asked) in seen.chunks(nodes).enumerate() {
                let mut who: Vec<_> = asked.iter().map(|step| match step {
                    Step::Ask(node) | Step::WaitThenAsk(_, node) => *node,
                    Step::GiveUp => usize::MAX,
                }).collect();
                who.sort_unstable();
                prop_assert_eq!(who, (0..nodes).collect::<Vec<_>>());
                for (at, step) in asked.iter().enumerate() {
                    let waits = matches!(step, Step::WaitThenAsk(..));
                    prop_assert_eq!(waits, at == 0 && round > 0);
                    if let Step::WaitThenAsk(pause, _) = step {
                        let whole = policy.pause(round as u32);
                        prop_assert!(*pause <= whole && whole <= policy.longest);
                        prop_assert!(*pause >= whole.mul_f64(0.499));
                    }
                }
            }
        }
    }
}
