//! When a container counts as healthy, what waits for whom, and when a container is started again.

use serde::Serialize;
use std::time::Duration;

/// Where a service's health check comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum HealthPolicy {
    /// The image's own, if it has one.
    #[default]
    Image,
    /// None, even if the image has one (`disable: true`, `test: NONE`).
    Disabled,
    /// As the file says.
    Check(Healthcheck),
}

/// A health check; what is not written has the value Docker gives it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Healthcheck {
    /// The command; absent: the image's command with these times.
    pub test: Option<HealthTest>,
    /// Between the end of one run and the start of the next; default 30 s.
    pub interval: Duration,
    /// Longest run; default 30 s.
    pub timeout: Duration,
    /// Failures in a row that make a container unhealthy; default 3.
    pub retries: u32,
    /// Time after the start in which failures do not count; default 0.
    pub start_period: Duration,
    /// Interval within `start_period`; default 5 s.
    pub start_interval: Duration,
}

impl Default for Healthcheck {
    fn default() -> Self {
        Self {
            test: None,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            retries: 3,
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(5),
        }
    }
}

impl std::fmt::Debug for Healthcheck {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Healthcheck")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// The command of a health check; exit code 0 is healthy.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthTest {
    /// Program and arguments (`CMD`).
    Exec(Vec<String>),
    /// A line for the container's `/bin/sh -c` (`CMD-SHELL`, or plain text).
    Shell(String),
}

/// One entry of `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DependsOn {
    /// What must have happened first.
    pub when: DependsWhen,
    /// Restart the depending service after the other was restarted by an operation on the project; default false.
    pub restart: bool,
    /// Whether the service may not start without the other; default true.
    pub required: bool,
}

impl Default for DependsOn {
    fn default() -> Self {
        Self {
            when: DependsWhen::Started,
            restart: false,
            required: true,
        }
    }
}

/// `condition` of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DependsWhen {
    /// `service_started`.
    Started,
    /// `service_healthy`.
    Healthy,
    /// `service_completed_successfully`.
    Completed,
}

/// When an exited container is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestartPolicy {
    /// The condition.
    pub when: RestartWhen,
    /// Attempts before giving up; absent: no limit.
    pub max_attempts: Option<u32>,
    /// Wait before each start; absent: the runtime's own growing delay.
    pub delay: Option<Duration>,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            when: RestartWhen::Never,
            max_attempts: None,
            delay: None,
        }
    }
}

/// The condition of a restart policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartWhen {
    /// `no`, `none`.
    Never,
    /// `on-failure`: after an exit code other than 0.
    OnFailure,
    /// `always`, `any`.
    Always,
    /// `unless-stopped`: as `always`, but a container stopped by an operator stays so.
    UnlessStopped,
}
