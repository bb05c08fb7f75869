//! A project that is up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::follow::{self, LogEntry};
use crate::error::{ContainerFailure, FailureKind, RuntimeError};
use crate::logs::{LogQuery, LogReader};
use crate::shell::Ops;
use crate::shell::status::{ContainerState, ContainerStatus};
use crate::shell::supervisor::{Handle, Message, Told};

/// Log lines an error carries.
const LAST_LINES: usize = 20;

/// A project that is up and supervised. Dropping it ends the supervision, not the containers.
#[derive(Debug)]
pub struct Running {
    ops: Arc<Ops>,
    handle: Handle,
}

impl Running {
    pub(super) fn new(ops: Arc<Ops>, handle: Handle) -> Self {
        Self { ops, handle }
    }

    /// The containers as they are now.
    pub fn containers(&self) -> Vec<ContainerStatus> {
        self.handle.told.borrow().containers.clone()
    }

    /// Waits until the containers satisfy a condition; `None` when supervision ended first.
    pub async fn wait_until(
        &self,
        condition: impl Fn(&[ContainerStatus]) -> bool,
    ) -> Option<Vec<ContainerStatus>> {
        let mut told = self.handle.told.clone();
        let reached = told.wait_for(|told| condition(&told.containers)).await.ok()?;
        Some(reached.containers.clone())
    }

    /// Lines of the containers' logs. With `follow` they go on until the receiver is dropped.
    pub fn logs(&self, query: LogQuery) -> tokio::sync::mpsc::Receiver<Result<LogEntry, RuntimeError>> {
        follow::stream(self.ops.clone(), self.handle.told.clone(), query)
    }

    /// Stops every container, each after what depends on it. A grace given takes the place of their own.
    pub async fn stop(self, grace: Option<Duration>) -> Result<Vec<ContainerStatus>, RuntimeError> {
        // When the supervisor is gone there is nobody left to stop them.
        self.handle
            .sender
            .send(Message::Stop(grace))
            .map_err(|_| RuntimeError::Stopping)?;
        let mut told = self.handle.told.clone();
        let stopped = told
            .wait_for(|told| told.stopped)
            .await
            .map_err(|_| RuntimeError::Stopping)?;
        Ok(stopped.containers.clone())
    }

    /// Waits until every container had its first start; an error when one never will.
    pub(super) async fn settle(&self) -> Result<(), RuntimeError> {
        let mut told: watch::Receiver<Told> = self.handle.told.clone();
        let settled = told
            .wait_for(|told| told.settled)
            .await
            .map_err(|_| RuntimeError::Stopping)?
            .clone();
        match settled
            .containers
            .iter()
            .find(|one| one.state == ContainerState::Failed && is_cause(one, &settled))
        {
            None => Ok(()),
            Some(one) => Err(self.failure(one, &settled)),
        }
    }

    fn failure(&self, failed: &ContainerStatus, told: &Told) -> RuntimeError {
        let reason = failed.message.clone().unwrap_or_default();
        // The container that failed, when this one only waited for it.
        let cause = told
            .containers
            .iter()
            .find(|one| reason.starts_with(&format!("{},", one.id)));
        let (one, how) = match cause {
            Some(one) if one.state == ContainerState::Exited => {
                let how = FailureKind::Exited {
                    code: one.exit_code.unwrap_or(0),
                    oom: one.out_of_memory,
                };
                (one, how)
            }
            Some(one) if one.state == ContainerState::Running => (one, FailureKind::Unhealthy),
            _ => (failed, FailureKind::NotStarted { reason }),
        };
        RuntimeError::Container(Box::new(ContainerFailure {
            service: one.service.clone(),
            container: one.id.clone(),
            how,
            last_lines: self.last_lines(&one.id),
        }))
    }

    fn last_lines(&self, id: &str) -> Vec<String> {
        let query = LogQuery {
            tail: Some(LAST_LINES),
            ..LogQuery::default()
        };
        let lines = LogReader::open(&self.ops.log_folder(id), &query)
            .map(|(_, lines)| lines)
            .unwrap_or_default();
        lines.into_iter().map(|line| line.text).collect()
    }
}

/// Whether a failed container failed by itself, or because of one that is not itself marked as failed.
fn is_cause(one: &ContainerStatus, told: &Told) -> bool {
    let reason = one.message.clone().unwrap_or_default();
    !told
        .containers
        .iter()
        .any(|other| other.state == ContainerState::Failed && reason.starts_with(&format!("{},", other.id)))
}
