//! Waiting for the end of a container, across restarts of containerd; one health check; what the kernel's memory killer did.

use std::path::Path;
use std::time::Duration;

use crate::blueprint::Blueprint;
use crate::containerd::{ExitStatus, TaskState};
use crate::error::RuntimeError;
use crate::files;
use crate::logs;
use crate::spec;

use super::Ops;

/// Pause between questions while containerd does not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// Exit code when nobody can say any more how a process ended.
const LOST: u32 = 255;
const SIGKILL: u32 = 9;
const MAX_EVENTS: u64 = 64 * 1024;

/// How a process ended.
pub(super) struct End {
    pub(super) code: u32,
    pub(super) oom: bool,
}

/// Returns when the container's process with this id has ended.
pub(super) async fn ended(ops: &Ops, id: &str, pid: u32) -> End {
    let code = loop {
        match ops.client.wait(id, "").await {
            Ok(Some(ExitStatus { code })) => break code,
            Ok(None) => break LOST,
            Err(error) => tracing::debug!(container = id, error = error.chain(), "waiting again"),
        }
        tokio::time::sleep(PAUSE).await;
        // A wait that ended without an answer says nothing; what containerd says now does.
        match ops.client.task(id).await {
            Ok(Some(TaskState::Running(now))) if now == pid => {}
            Ok(Some(TaskState::Stopped(exit))) => break exit.code,
            Ok(_) => break LOST,
            Err(_) => {}
        }
    };
    logs::finished(ops.log_folder(id)).await;
    End {
        code,
        oom: code == 128 + SIGKILL && killed_by_memory(&spec::cgroup_path(ops.client.namespace(), id)),
    }
}

/// Whether the memory killer ended a process of this cgroup. Both kinds of cgroups say so in a line `oom_kill N`.
fn killed_by_memory(cgroup: &str) -> bool {
    let places = [
        format!("/sys/fs/cgroup/memory{cgroup}/memory.oom_control"),
        format!("/sys/fs/cgroup{cgroup}/memory.events"),
    ];
    places.iter().any(|place| {
        let bytes = files::read_bounded(Path::new(place), MAX_EVENTS).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().any(|line| {
            line.strip_prefix("oom_kill ")
                .is_some_and(|count| count.trim() != "0")
        })
    })
}

/// Runs a container's health check once. One that cannot be run, or takes too long, has not passed.
pub(super) async fn check(ops: &Ops, blueprint: &Blueprint, number: u64) -> bool {
    let Some(check) = &blueprint.check else {
        return true;
    };
    let exec = format!("health-{number}");
    let result = run_check(ops, blueprint, &exec, check.timeout).await;
    result.unwrap_or_else(|error| {
        tracing::debug!(
            container = blueprint.id,
            error = error.chain(),
            "a health check could not be run"
        );
        false
    })
}

async fn run_check(
    ops: &Ops,
    blueprint: &Blueprint,
    exec: &str,
    limit: Duration,
) -> Result<bool, RuntimeError> {
    let id = &blueprint.id;
    let Some(record) = ops.client.container(id).await? else {
        return Ok(false);
    };
    let process = spec::check_process(blueprint, &ops.user_of(&record.spec)?)?;
    ops.client.exec(id, exec, &process).await?;
    let run = async {
        ops.client.start(id, exec).await?;
        ops.client.wait(id, exec).await
    };
    let passed = match tokio::time::timeout(limit, run).await {
        Ok(ended) => ended.map(|exit| exit.is_some_and(|exit| exit.code == 0)),
        Err(_) => {
            ops.client.kill(id, exec, SIGKILL, true).await?;
            let _ = tokio::time::timeout(limit, ops.client.wait(id, exec)).await;
            Ok(false)
        }
    };
    ops.client.delete_process(id, exec).await?;
    passed
}
