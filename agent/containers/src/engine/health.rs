//! A container's health: when to check, and what results mean. Failures during the start period do not count; the first
//! success ends that period. One check runs at a time.

use std::time::Duration;

use super::Now;

/// Timing of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthPlan {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) start_period: Duration,
    pub(crate) start_interval: Duration,
}

/// What a container's health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No check has passed yet, and not enough have failed.
    Starting,
    /// The last check passed, or too few failed since.
    Healthy,
    /// As many checks in a row failed as may.
    Unhealthy,
}

/// The state machine of one container's checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthState {
    plan: HealthPlan,
    state: Health,
    failures: u32,
    started: Now,
    next: Now,
    running: bool,
}

impl HealthState {
    /// A container that was started now. An adopted one is checked at once: what it was before is not known.
    pub(crate) fn new(plan: HealthPlan, now: Now, adopted: bool) -> Self {
        let first = if plan.start_period > Duration::ZERO {
            plan.start_interval
        } else {
            plan.interval
        };
        let next = if adopted { now } else { now + first };
        Self {
            plan,
            state: Health::Starting,
            failures: 0,
            started: now,
            next,
            running: false,
        }
    }

    pub(crate) fn state(&self) -> Health {
        self.state
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Option<Now> {
        (!self.running).then_some(self.next)
    }

    /// Whether a check is to be run now.
    pub(crate) fn due(&mut self, now: Now) -> bool {
        let due = !self.running && now >= self.next;
        self.running |= due;
        due
    }

    /// Takes the result of the check that was run.
    pub(crate) fn result(&mut self, passed: bool, now: Now) {
        if !self.running {
            return;
        }
        self.running = false;
        let starting = self.state == Health::Starting && now < self.started + self.plan.start_period;
        if passed {
            self.state = Health::Healthy;
            self.failures = 0;
        } else if !starting {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= self.plan.retries {
                self.state = Health::Unhealthy;
            }
        }
        let in_start = self.state == Health::Starting && now < self.started + self.plan.start_period;
        self.next = now
            + if in_start {
                self.plan.start_interval
            } else {
                self.plan.interval
            };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> HealthPlan {
        HealthPlan {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            retries: 3,
            start_period: Duration::from_secs(30),
            start_interval: Duration::from_secs(2),
        }
    }

    fn run(state: &mut HealthState, at: u64, passed: bool) -> Health {
        let now = Duration::from_secs(at);
        assert!(state.due(now), "no check due at {at}: {state:?}");
        assert!(!state.due(now));
        state.result(passed, now);
        state.state()
    }

    #[test]
    fn failures_of_the_start_period_do_not_count() {
        let mut state = HealthState::new(plan(), Duration::ZERO, false);
        for at in (2..30).step_by(2) {
            assert_eq!(run(&mut state, at, false), Health::Starting);
        }
        assert_eq!(run(&mut state, 30, false), Health::Starting);
        assert_eq!(run(&mut state, 40, false), Health::Starting);
        assert_eq!(run(&mut state, 50, false), Health::Unhealthy);
        assert_eq!(run(&mut state, 60, true), Health::Healthy);
    }

    #[test]
    fn a_success_ends_the_start_period() {
        let mut state = HealthState::new(plan(), Duration::ZERO, false);
        assert_eq!(run(&mut state, 2, true), Health::Healthy);
        assert!(!state.due(Duration::from_secs(11)));
        for at in [12, 22] {
            assert_eq!(run(&mut state, at, false), Health::Healthy);
        }
        assert_eq!(run(&mut state, 32, false), Health::Unhealthy);
    }

    #[test]
    fn a_success_forgives_earlier_failures() {
        let mut state = HealthState::new(plan(), Duration::ZERO, true);
        assert_eq!(run(&mut state, 0, true), Health::Healthy);
        for at in [10, 20] {
            assert_eq!(run(&mut state, at, false), Health::Healthy);
        }
        assert_eq!(run(&mut state, 30, true), Health::Healthy);
        for at in [40, 50] {
            assert_eq!(run(&mut state, at, false), Health::Healthy);
        }
        assert_eq!(run(&mut state, 60, false), Health::Unhealthy);
    }
}
