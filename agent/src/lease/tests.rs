//! The machine against its table: told stories, then random ones with named invariants.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};
use std::time::Duration;

const POLICY: LeasePolicy = LeasePolicy {
    renew_at_percent: 50,
    retry_first: Duration::from_secs(2),
    retry_longest: Duration::from_secs(60),
    grace: Duration::from_secs(100),
};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn granted(asked: u64, length: u64) -> LeaseAnswer {
    LeaseAnswer::Granted {
        asked: s(asked),
        length: s(length),
    }
}

fn held_from(start: u64) -> (LeaseMachine, StdRng) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut machine = LeaseMachine::new(POLICY, s(start));
    assert!(machine.at(s(start)).ask, "an app that starts asks at once");
    machine.answered(s(start + 1), granted(start, 300), &mut rng);
    (machine, rng)
}

#[test]
fn a_lease_is_renewed_before_it_ends_and_silence_inside_it_changes_nothing() {
    let (mut machine, mut rng) = held_from(1000);
    assert_eq!(machine.phase(), LeasePhase::Held { until: s(1300) });
    assert!(!machine.at(s(1100)).ask);
    assert!(machine.at(s(1150)).ask);
    for now in 1150..1300 {
        let orders = machine.answered(s(now), LeaseAnswer::Silent, &mut rng);
        assert!(orders.may_run);
        assert_eq!(machine.phase(), LeasePhase::Held { until: s(1300) });
    }
    machine.answered(s(1299), granted(1298, 300), &mut rng);
    assert_eq!(machine.phase(), LeasePhase::Held { until: s(1598) });
}

#[test]
fn silence_beyond_the_lease_uses_up_the_grace() {
    let (mut machine, mut rng) = held_from(1000);
    let cause = LossCause::Ended;
    assert!(machine.at(s(1300)).may_run);
    assert_eq!(
        machine.phase(),
        LeasePhase::Lost {
            cause,
            stop_at: s(1400)
        }
    );
    assert!(machine.answered(s(1399), LeaseAnswer::Silent, &mut rng).may_run);
    assert!(!machine.at(s(1400)).may_run);
    assert_eq!(machine.phase(), LeasePhase::Stopped { cause });
    // It asks on, and a lease brings the app back.
    assert!(machine.at(s(1500)).ask);
    assert!(machine.answered(s(1500), granted(1499, 300), &mut rng).may_run);
}

/// Lives through `from..until` as the keeper would, with a KMS nobody reaches; gives how often it was asked.
fn unreachable(machine: &mut LeaseMachine, rng: &mut StdRng, from: u64, until: u64) -> usize {
    let (mut now, mut asked) = (s(from), 0);
    while now < s(until) {
        let mut orders = machine.at(now);
        if orders.ask {
            asked += 1;
            orders = machine.answered(now, LeaseAnswer::Silent, rng);
        }
        // A machine that wants to be woken in the past would spin.
        now = orders.wake.max(now + Duration::from_millis(1)).min(s(until));
    }
    asked
}

#[test]
fn a_kms_gone_for_an_hour_inside_a_longer_lease_is_not_noticed_by_the_app() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut machine = LeaseMachine::new(POLICY, s(0));
    machine.answered(s(0), granted(0, 4 * 3600), &mut rng);
    let held = LeasePhase::Held { until: s(4 * 3600) };
    // Renewal is due between 0.4 and 0.5 of the lease; the KMS is gone from then on.
    let asked = unreachable(&mut machine, &mut rng, 5760, 5760 + 1440 + 3600);
    assert_eq!(machine.phase(), held);
    // Every pause but the first ones is 30 to 60 s.
    assert!((60..=190).contains(&asked), "asked {asked} times");
    // The KMS is back: the next request renews, and the pauses begin anew.
    let back = 5760 + 1440 + 3600;
    let orders = machine.answered(s(back), granted(back, 4 * 3600), &mut rng);
    assert!(orders.may_run && !orders.ask);
    assert_eq!(
        machine.phase(),
        LeasePhase::Held {
            until: s(back + 4 * 3600)
        }
    );
    assert!(
        !machine.at(s(back + 5759)).ask,
        "a renewed lease is not renewed at once"
    );
    assert!(machine.at(s(back + 7200)).ask);
}

#[test]
fn a_kms_gone_for_an_hour_beyond_the_lease_warns_then_stops_then_starts_again() {
    let (mut machine, mut rng) = held_from(0);
    let cause = LossCause::Ended;
    unreachable(&mut machine, &mut rng, 1, 300);
    assert_eq!(machine.phase(), LeasePhase::Held { until: s(300) });
    unreachable(&mut machine, &mut rng, 300, 301);
    let lost = LeasePhase::Lost {
        cause,
        stop_at: s(400),
    };
    assert_eq!(machine.phase(), lost, "the app is warned and runs on");
    assert!(machine.at(s(301)).may_run);
    unreachable(&mut machine, &mut rng, 301, 400);
    assert_eq!(machine.phase(), lost);
    let asked = unreachable(&mut machine, &mut rng, 400, 3600);
    assert_eq!(machine.phase(), LeasePhase::Stopped { cause });
    assert!(!machine.at(s(3600)).may_run);
    assert!(asked >= 50, "a stopped app's agent asks on: {asked}");
    assert!(machine.answered(s(3600), granted(3600, 300), &mut rng).may_run);
    assert_eq!(machine.phase(), LeasePhase::Held { until: s(3900) });
}

#[test]
fn a_denial_starts_the_grace_at_once_and_repeats_do_not_lengthen_it() {
    let (mut machine, mut rng) = held_from(1000);
    let cause = LossCause::Denied;
    machine.answered(s(1150), LeaseAnswer::Denied, &mut rng);
    assert_eq!(
        machine.phase(),
        LeasePhase::Lost {
            cause,
            stop_at: s(1250)
        }
    );
    machine.answered(s(1200), LeaseAnswer::Denied, &mut rng);
    machine.answered(s(1210), LeaseAnswer::Silent, &mut rng);
    assert_eq!(
        machine.phase(),
        LeasePhase::Lost {
            cause,
            stop_at: s(1250)
        }
    );
    assert!(machine.answered(s(1240), granted(1239, 300), &mut rng).may_run);
    machine.answered(s(1300), LeaseAnswer::Denied, &mut rng);
    assert!(!machine.at(s(1400)).may_run);
}

#[test]
fn a_grace_of_nothing_stops_the_app_with_the_denial() {
    let policy = LeasePolicy {
        grace: Duration::ZERO,
        ..POLICY
    };
    let mut rng = StdRng::seed_from_u64(1);
    let mut machine = LeaseMachine::resume(policy, LeasePhase::Held { until: s(300) }, s(0));
    assert!(!machine.answered(s(10), LeaseAnswer::Denied, &mut rng).may_run);
}

#[derive(Debug, Clone)]
enum Act {
    Pass(u64),
    Grant(u64),
    Deny,
    Silent,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0_u64..200).prop_map(Act::Pass),
        2 => (1_u64..400).prop_map(Act::Grant),
        1 => Just(Act::Deny),
        2 => Just(Act::Silent),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #[test]
    fn the_app_runs_exactly_as_long_as_lease_and_grace_let_it(
        acts in proptest::collection::vec(act(), 1..80), seed: u64, grace in 0_u64..300,
    ) {
        let policy = LeasePolicy { grace: s(grace), ..POLICY };
        let mut rng = StdRng::seed_from_u64(seed);
        let mut now = 1000_u64;
        let mut machine = LeaseMachine::new(policy, s(now));
        // The rule, kept apart from the machine: until when the app may run.
        let mut allowed_until = now + grace;
        let mut held_until = None;
        for act in acts {
            match act {
                Act::Pass(by) => now += by,
                Act::Grant(length) => {
                    machine.answered(s(now), granted(now, length), &mut rng);
                    held_until = Some(now + length);
                    allowed_until = now + length + grace;
                }
                Act::Deny => {
                    machine.answered(s(now), LeaseAnswer::Denied, &mut rng);
                    held_until = None;
                    allowed_until = allowed_until.min(now + grace);
                }
                Act::Silent => { machine.answered(s(now), LeaseAnswer::Silent, &mut rng); }
                Act::Restart => machine = LeaseMachine::resume(policy, machine.phase(), s(now)),
            }
            let orders = machine.at(s(now));
            prop_assert_eq!(orders.may_run, now < allowed_until, "at {}, allowed until {}", now, allowed_until);
            let holds = held_until.is_some_and(|until| now < until);
            prop_assert_eq!(matches!(machine.phase(), LeasePhase::Held { .. }), holds);
            // It always asks again within the longest pause, or within the lease.
            prop_assert!(orders.ask || orders.wake >= s(now));
            let latest = held_until.unwrap_or(now).max(now + 60);
            prop_assert!(machine.clone().at(s(latest)).ask);
            // Looking twice changes nothing.
            prop_assert_eq!(machine.clone().at(s(now)), orders);
        }
    }
}
