//! One container inside the machine: its phase, its counters, what others may conclude from it.

use std::time::Duration;

use super::backoff::Backoff;
use super::health::{Health, HealthState};
use super::{Desired, Need, Now, RestartWhen};

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for what it depends on.
    Waiting,
    /// Is being made and started.
    Starting,
    /// Runs.
    Running { pid: u32, since: Now },
    /// Ended; starts again at this time.
    Backoff { until: Now },
    /// Ended, and stays so.
    Exited,
    /// Could not be started, or something it depends on failed.
    Failed { reason: String },
    /// Is being stopped.
    Stopping,
    /// Was stopped.
    Stopped,
}

/// Whether a need is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    Yes,
    NotYet,
    Never,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) desired: Desired,
    pub(super) phase: Phase,
    /// Whether the record and snapshot there must go first.
    pub(super) fresh: bool,
    pub(super) health: Option<HealthState>,
    /// Whether it has run since the supervisor began (or before, when adopted).
    pub(super) started: bool,
    pub(super) restarts: u32,
    pub(super) exit: Option<(u32, bool)>,
    pub(super) backoff: Backoff,
}

impl Member {
    pub(super) fn new(desired: Desired, phase: Phase, fresh: bool) -> Self {
        let started = !matches!(phase, Phase::Waiting);
        let backoff = Backoff::new(desired.restart_delay);
        Self {
            desired,
            phase,
            fresh,
            health: None,
            started,
            restarts: 0,
            exit: None,
            backoff,
        }
    }

    pub(super) fn running(&mut self, pid: u32, now: Now, adopted: bool) {
        self.phase = Phase::Running { pid, since: now };
        self.fresh = false;
        self.started = true;
        self.exit = None;
        self.health = self
            .desired
            .health
            .clone()
            .map(|plan| HealthState::new(plan, now, adopted));
    }

    /// Decides what an end means.
    pub(super) fn ended(&mut self, code: u32, oom: bool, now: Now) {
        let ran = match self.phase {
            Phase::Running { since, .. } => now.saturating_sub(since),
            _ => Duration::ZERO,
        };
        self.exit = Some((code, oom));
        self.health = None;
        let policy = self.desired.restart;
        let wanted = match policy.when {
            RestartWhen::Never => false,
            RestartWhen::Always => true,
            RestartWhen::OnFailure => code != 0,
        };
        let again = wanted && policy.most.is_none_or(|most| self.restarts < most);
        let wait = self.backoff.after(ran);
        self.phase = if again {
            Phase::Backoff { until: now + wait }
        } else {
            Phase::Exited
        };
    }

    /// Whether it has a process, or is about to.
    pub(super) fn is_alive(&self) -> bool {
        matches!(
            self.phase,
            Phase::Starting | Phase::Running { .. } | Phase::Stopping
        )
    }

    pub(super) fn meets(&self, need: Need) -> Met {
        match (need, &self.phase) {
            (_, Phase::Failed { .. } | Phase::Stopping | Phase::Stopped) => Met::Never,
            (Need::Started, _) if self.started => Met::Yes,
            (Need::Healthy, Phase::Running { .. }) => match self.health.as_ref().map(HealthState::state) {
                Some(Health::Healthy) => Met::Yes,
                Some(Health::Starting) => Met::NotYet,
                Some(Health::Unhealthy) | None => Met::Never,
            },
            (Need::Healthy, Phase::Exited) => Met::Never,
            (Need::Completed, Phase::Exited) => {
                if self.exit.is_some_and(|(code, _)| code == 0) {
                    Met::Yes
                } else {
                    Met::Never
                }
            }
            _ => Met::NotYet,
        }
    }
}
