//! The runtime's decisions without I/O: what to do about what is found (`plan`), and what to do as containers start, end,
//! pass and fail health checks (`machine`). Time is an argument: a duration since the supervisor began.

pub(crate) mod backoff;
pub(crate) mod health;
pub(crate) mod machine;
mod member;
pub(crate) mod plan;
#[cfg(test)]
mod tests;

use std::time::Duration;

/// Id of a container, unique in its namespace.
pub(crate) type Id = String;

/// When to start a container again after it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restart {
    pub(crate) when: RestartWhen,
    /// Most starts after the first.
    pub(crate) most: Option<u32>,
}

/// Which ends lead to another start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartWhen {
    /// None.
    Never,
    /// All.
    Always,
    /// Those with a code that is not zero.
    OnFailure,
}

/// What must be true of another container first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It has been started.
    Started,
    /// Its health check passes.
    Healthy,
    /// It ended with code 0.
    Completed,
}

/// One edge of the dependency graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The container that is needed.
    pub(crate) on: Id,
    /// What is needed of it.
    pub(crate) need: Need,
    /// Whether its failure stops the dependent from being started.
    pub(crate) required: bool,
    /// Whether the dependent is restarted when the other is made anew.
    pub(crate) restart: bool,
}

/// What the engine knows of one container of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Desired {
    pub(crate) id: Id,
    /// Digest of everything that decides how it is made.
    pub(crate) digest: String,
    pub(crate) depends: Vec<Dependency>,
    /// Container whose network namespace it lives in.
    pub(crate) network_of: Option<Id>,
    pub(crate) restart: Restart,
    /// Wait before each start again, in place of the growing one.
    pub(crate) restart_delay: Option<Duration>,
    pub(crate) health: Option<health::HealthPlan>,
}

impl Desired {
    /// Containers that must have been started before this one can be.
    fn needs(&self) -> impl Iterator<Item = &Id> {
        self.depends
            .iter()
            .map(|dependency| &dependency.on)
            .chain(&self.network_of)
    }
}

/// Time since the supervisor began.
pub(crate) type Now = Duration;
