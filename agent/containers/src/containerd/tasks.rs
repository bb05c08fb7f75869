//! Tasks (the running side of a container) and processes executed in them.

use std::path::PathBuf;

use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{
    CreateTaskRequest, DeleteProcessRequest, DeleteTaskRequest, ExecProcessRequest, GetRequest, KillRequest,
    StartRequest, WaitRequest,
};
use containerd_client::types::Mount;
use containerd_client::types::v1::{Process, Status};
use prost_types::Any;
use tonic::Code;

use super::{Containerd, QUICK, SLOW, accept, deadline, sort};
use crate::error::RuntimeError;

/// With nothing named, containerd's shim hands out a null device that can only be read, and what prints a line fails.
const NOWHERE: &str = "file:///dev/null";
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExitStatus {
    /// Exit code; 128 + signal when a signal ended it.
    pub(crate) code: u32,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    /// Made, not started: what an interrupted start leaves.
    Created,
    /// Running under this process id.
    Running(u32),
    /// Ended.
    Stopped(ExitStatus),
}

/// Where a task's output goes.
#[derive(Clone, Debug)]
pub(crate) struct TaskIo {
    /// Logger program and its file.
    pub(crate) uri: String,
    /// Whether the process gets a terminal.
    pub(crate) terminal: bool,
    /// A pipe held open as the terminal's input.
    pub(crate) stdin: Option<PathBuf>,
}

impl Containerd {
    /// Makes the task of a container; the process is not started yet. Gives the process id of its first process.
    pub(crate) async fn create_task(
        &self,
        id: &str,
        rootfs: Vec<Mount>,
        io: &TaskIo,
    ) -> Result<u32, RuntimeError> {
        let message = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs,
            stdin: io
                .stdin
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            stdout: io.uri.clone(),
            // With a terminal both streams are one, and a second logger would find nothing.
            stderr: if io.terminal {
                String::new()
            } else {
                io.uri.clone()
            },
            terminal: io.terminal,
            ..CreateTaskRequest::default()
        };
        let mut client = TasksClient::new(self.channel());
        let answer = deadline("create task", SLOW, client.create(self.request(message))).await?;
        Ok(answer.into_inner().pid)
    }

    /// Starts a made task, or a made process in it.
    pub(crate) async fn start(&self, id: &str, exec: &str) -> Result<u32, RuntimeError> {
        let message = StartRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
        };
        let mut client = TasksClient::new(self.channel());
        let answer = deadline("start", SLOW, client.start(self.request(message))).await?;
        Ok(answer.into_inner().pid)
    }

    /// State of a task, if the container has one.
    pub(crate) async fn task(&self, id: &str) -> Result<Option<TaskState>, RuntimeError> {
        let message = GetRequest {
            container_id: id.to_owned(),
            exec_id: String::new(),
        };
        let mut client = TasksClient::new(self.channel());
        let answer = deadline("get task", QUICK, client.get(self.request(message))).await;
        let Some(answer) = accept(answer, Code::NotFound)? else {
            return Ok(None);
        };
        Ok(answer.into_inner().process.map(|process| state(&process)))
    }

    /// Waits for the end of a task or of a process in it. `None`: there is no such process.
    pub(crate) async fn wait(&self, id: &str, exec: &str) -> Result<Option<ExitStatus>, RuntimeError> {
        let message = WaitRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
        };
        let mut client = TasksClient::new(self.channel());
        let answer = client
            .wait(self.request(message))
            .await
            .map_err(|status| sort("wait", &status));
        let answer = accept(answer, Code::NotFound)?;
        Ok(answer.map(|answer| ExitStatus {
            code: answer.into_inner().exit_status,
        }))
    }

    /// Sends a signal. `false`: there was nothing to send it to.
    pub(crate) async fn kill(
        &self,
        id: &str,
        exec: &str,
        signal: u32,
        all: bool,
    ) -> Result<bool, RuntimeError> {
        let message = KillRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            signal,
            all,
        };
        let mut client = TasksClient::new(self.channel());
        let answer = deadline("kill", QUICK, client.kill(self.request(message))).await;
        Ok(accept(answer, Code::NotFound)?.is_some())
    }

    /// Removes an ended task; one that is not there is fine.
    pub(crate) async fn delete_task(&self, id: &str) -> Result<(), RuntimeError> {
        let message = DeleteTaskRequest {
            container_id: id.to_owned(),
        };
        let mut client = TasksClient::new(self.channel());
        let answer = deadline("delete task", SLOW, client.delete(self.request(message))).await;
        accept(answer, Code::NotFound)?;
        Ok(())
    }

    /// Makes a process in a running task; its output is dropped.
    pub(crate) async fn exec(&self, id: &str, exec: &str, process: &[u8]) -> Result<(), RuntimeError> {
        let message = ExecProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            spec: Some(Any {
                type_url: PROCESS_TYPE.to_owned(),
                value: process.to_vec(),
            }),
            stdout: NOWHERE.to_owned(),
            stderr: NOWHERE.to_owned(),
            ..ExecProcessRequest::default()
        };
        let mut client = TasksClient::new(self.channel());
        deadline("exec", SLOW, client.exec(self.request(message))).await?;
        Ok(())
    }

    /// Removes an ended process of a task.
    pub(crate) async fn delete_process(&self, id: &str, exec: &str) -> Result<(), RuntimeError> {
        let message = DeleteProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
        };
        let mut client = TasksClient::new(self.channel());
        let answer = deadline(
            "delete process",
            SLOW,
            client.delete_process(self.request(message)),
        )
        .await;
        accept(answer, Code::NotFound)?;
        Ok(())
    }
}

fn state(process: &Process) -> TaskState {
    match process.status() {
        Status::Stopped => TaskState::Stopped(ExitStatus {
            code: process.exit_status,
        }),
        Status::Created | Status::Unknown => TaskState::Created,
        Status::Running | Status::Paused | Status::Pausing => TaskState::Running(process.pid),
    }
}
