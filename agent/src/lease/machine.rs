//! Whether the app may run, decided from leases that came, denials, silence and time. No I/O; time is an input, counted from
//! the boot of the machine, so that nobody moves it by setting a clock.
//!
//! | phase | what happens |
//! |---|---|
//! | held | the app runs; the lease is renewed when a part of it has gone; silence changes nothing |
//! | lost | the KMS said no, or the lease has ended unrenewed: the app has the grace of its compose document left |
//! | stopped | the grace is over: the app is stopped, and the KMS is asked on |
//!
//! A new lease leads from every phase back to held.

use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How leases are renewed and what their loss leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasePolicy {
    /// Part of a lease after which it is renewed, in percent.
    pub renew_at_percent: u32,
    /// Pause after the first request that brought no lease.
    pub retry_first: Duration,
    /// Longest pause between requests.
    pub retry_longest: Duration,
    /// How long the app goes on without a lease.
    pub grace: Duration,
}

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossCause {
    /// The KMS looked and said no.
    Denied,
    /// It ended, and nobody could be asked for another.
    Ended,
    /// Where it stands could not be read or kept, so a restart would not know.
    Unkept,
    /// The disk's generation was not reported since the boot.
    Unreported,
}

/// Where the lease stands. Times count from the boot of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum LeasePhase {
    /// There is one.
    Held {
        /// Its end.
        until: Duration,
    },
    /// There is none; the app is in its grace.
    Lost {
        /// Why.
        cause: LossCause,
        /// When the app is stopped.
        stop_at: Duration,
    },
    /// There is none, and the grace is over.
    Stopped {
        /// Why.
        cause: LossCause,
    },
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// A lease.
    Granted {
        /// When it was asked for: it is counted from there, not from when the answer came.
        asked: Duration,
        /// How long it is.
        length: Duration,
    },
    /// The KMS said no.
    Denied,
    /// Nobody could be asked, or no answer held.
    Silent,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOrders {
    /// Whether the app may run.
    pub may_run: bool,
    /// Whether to ask for a lease now.
    pub ask: bool,
    /// When to look again at the latest.
    pub wake: Duration,
}

/// The lease of one app.
#[derive(Debug, Clone)]
pub struct LeaseMachine {
    policy: LeasePolicy,
    phase: LeasePhase,
    ask_at: Duration,
    failures: u32,
}

impl LeaseMachine {
    /// An app that just started: nothing is held, so its grace runs until the first lease comes.
    pub fn new(policy: LeasePolicy, now: Duration) -> Self {
        Self::resume(
            policy,
            LeasePhase::Lost {
                cause: LossCause::Ended,
                stop_at: now.saturating_add(policy.grace),
            },
            now,
        )
    }

    /// An app that has set-backs of its disk detected: it waits for the lease that reports the disk.
    pub const fn unreported(policy: LeasePolicy, now: Duration) -> Self {
        // G4: a host may hold a guest between its keys and its disk until the number it was told is an old one.
        let cause = LossCause::Unreported;
        Self::resume(policy, LeasePhase::Stopped { cause }, now)
    }

    /// An agent that starts again in the same boot goes on where it was, and asks at once.
    pub const fn resume(policy: LeasePolicy, phase: LeasePhase, now: Duration) -> Self {
        Self {
            policy,
            phase,
            ask_at: now,
            failures: 0,
        }
    }

    /// Where the lease stands.
    pub const fn phase(&self) -> LeasePhase {
        self.phase
    }

    /// Lets time pass.
    pub fn at(&mut self, now: Duration) -> LeaseOrders {
        if let LeasePhase::Held { until } = self.phase
            && now >= until
        {
            self.phase = LeasePhase::Lost {
                cause: LossCause::Ended,
                stop_at: until.saturating_add(self.policy.grace),
            };
        }
        if let LeasePhase::Lost { cause, stop_at } = self.phase
            && now >= stop_at
        {
            self.phase = LeasePhase::Stopped { cause };
        }
        let change = match self.phase {
            LeasePhase::Held { until } => until,
            LeasePhase::Lost { stop_at, .. } => stop_at,
            LeasePhase::Stopped { .. } => Duration::MAX,
        };
        LeaseOrders {
            may_run: !matches!(self.phase, LeasePhase::Stopped { .. }),
            ask: now >= self.ask_at,
            wake: change.min(self.ask_at.max(now)),
        }
    }

    /// Takes what came of a request.
    pub fn answered(
        &mut self,
        now: Duration,
        answer: LeaseAnswer,
        rng: &mut (impl RngCore + ?Sized),
    ) -> LeaseOrders {
        let _ = self.at(now);
        match answer {
            LeaseAnswer::Granted { asked, length } => {
                self.failures = 0;
                self.phase = LeasePhase::Held {
                    until: asked.saturating_add(length),
                };
                let part = length.mul_f64(f64::from(self.policy.renew_at_percent.min(100)) / 100.0);
                // A host's guests that started together must not all renew in the same instant.
                self.ask_at = asked.saturating_add(part.mul_f64(rng.random_range(0.8..=1.0)));
            }
            LeaseAnswer::Denied => {
                self.denied(now);
                self.back_off(now, rng);
            }
            LeaseAnswer::Silent => self.back_off(now, rng),
        }
        self.at(now)
    }

    /// A denial does not lengthen a grace that runs already.
    fn denied(&mut self, now: Duration) {
        let fresh = now.saturating_add(self.policy.grace);
        let cause = LossCause::Denied;
        self.phase = match self.phase {
            LeasePhase::Held { .. } => LeasePhase::Lost {
                cause,
                stop_at: fresh,
            },
            LeasePhase::Lost { stop_at, .. } => LeasePhase::Lost {
                cause,
                stop_at: stop_at.min(fresh),
            },
            LeasePhase::Stopped { .. } => LeasePhase::Stopped { cause },
        };
    }

    /// The state is not on disk: nothing may run on it. It asks on, and a lease that can be kept leads back.
    pub fn unkept(&mut self, now: Duration, rng: &mut (impl RngCore + ?Sized)) {
        self.phase = LeasePhase::Stopped {
            cause: LossCause::Unkept,
        };
        self.back_off(now, rng);
    }

    fn back_off(&mut self, now: Duration, rng: &mut (impl RngCore + ?Sized)) {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let pause = self
            .policy
            .retry_first
            .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
            .min(self.policy.retry_longest);
        self.ask_at = now.saturating_add(pause.mul_f64(rng.random_range(0.5..=1.0)));
    }
}
