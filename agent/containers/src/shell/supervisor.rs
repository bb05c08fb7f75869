//! The task that owns the engine: it feeds in what happens and carries out what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::status::{ContainerStatus, status};
use super::{Ops, watch as watching};
use crate::blueprint::Blueprint;
use crate::engine::machine::{Command, Input, Machine, Phase};
use crate::engine::plan::{Action, PlanError};
use crate::error::RuntimeError;

/// Pause before a stop that could not be carried out is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// State of the whole project, as it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) containers: Vec<ContainerStatus>,
    /// Whether every container had its first start.
    pub(crate) settled: bool,
    pub(crate) stopped: bool,
}

/// A container with the digest of its blueprint.
pub(crate) type Blueprints = BTreeMap<String, (Arc<Blueprint>, String)>;

/// Something the supervisor is told.
#[derive(Debug)]
pub(crate) enum Message {
    Input(Input),
    /// Stop everything; a grace that takes the place of the containers' own.
    Stop(Option<Duration>),
}

pub(crate) struct Supervisor {
    ops: Arc<Ops>,
    blueprints: Blueprints,
    machine: Machine,
    began: Instant,
    sender: mpsc::UnboundedSender<Message>,
    receiver: mpsc::UnboundedReceiver<Message>,
    told: watch::Sender<Told>,
    checks: u64,
    grace: Option<Duration>,
}

/// Ends the supervisor's tasks when it is dropped.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) sender: mpsc::UnboundedSender<Message>,
    pub(crate) told: watch::Receiver<Told>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to supervise. Containers named as adopted must have been adopted by `ops` already.
pub(crate) fn begin(ops: Arc<Ops>, blueprints: Blueprints, actions: &[Action]) -> Result<Handle, PlanError> {
    let desired: Vec<_> = blueprints
        .values()
        .map(|(blueprint, _)| blueprint.desired())
        .collect();
    let (machine, commands) = Machine::new(&desired, actions, Duration::ZERO)?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let (told, heard) = watch::channel(Told::default());
    let supervisor = Supervisor {
        ops,
        blueprints,
        machine,
        began: Instant::now(),
        sender: sender.clone(),
        receiver,
        told,
        checks: u64::from(std::process::id()) << 32,
        grace: None,
    };
    let adopted = actions.iter().filter_map(|action| match action {
        Action::Adopt(id, pid) => Some((id.clone(), *pid)),
        _ => None,
    });
    let adopted: Vec<(String, u32)> = adopted.collect();
    let task = tokio::spawn(supervisor.run(commands, adopted));
    Ok(Handle {
        sender,
        told: heard,
        task,
    })
}

impl Supervisor {
    async fn run(mut self, commands: Vec<Command>, adopted: Vec<(String, u32)>) {
        // Dropping the set ends what it runs: an operation cut short is cleared by the next start.
        let mut tasks = tokio::task::JoinSet::new();
        for (id, pid) in adopted {
            self.watch(&mut tasks, id, pid);
        }
        self.carry_out(&mut tasks, commands);
        loop {
            self.tell();
            let deadline = self.machine.deadline().map(|at| self.began + at);
            let sleep = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                message = self.receiver.recv() => match message {
                    Some(Message::Input(input)) => input,
                    Some(Message::Stop(grace)) => {
                        self.grace = grace;
                        Input::Stop
                    }
                    None => return,
                },
                () = sleep => Input::Tick,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            };
            if let Input::Started { id, pid } = &input {
                self.watch(&mut tasks, id.clone(), *pid);
            }
            let ended = match &input {
                Input::Exited { id, .. } => Some(id.clone()),
                _ => None,
            };
            let commands = self.machine.input(input, self.began.elapsed());
            self.carry_out(&mut tasks, commands);
            if let Some(id) = ended.filter(|id| {
                self.machine
                    .view(id)
                    .is_some_and(|view| matches!(view.phase, Phase::Exited))
            }) {
                let ops = self.ops.clone();
                tasks.spawn(async move { ops.release(&id).await });
            }
        }
    }

    fn watch(&self, tasks: &mut tokio::task::JoinSet<()>, id: String, pid: u32) {
        let (ops, sender) = (self.ops.clone(), self.sender.clone());
        tasks.spawn(async move {
            let end = watching::ended(&ops, &id, pid).await;
            tracing::info!(container = id, code = end.code, oom = end.oom, "container ended");
            let _ = sender.send(Message::Input(Input::Exited {
                id,
                pid,
                code: end.code,
                oom: end.oom,
            }));
        });
    }

    fn carry_out(&mut self, tasks: &mut tokio::task::JoinSet<()>, commands: Vec<Command>) {
        for command in commands {
            let (ops, sender) = (self.ops.clone(), self.sender.clone());
            let id = match &command {
                Command::Start { id, .. } | Command::Check { id, .. } | Command::Stop { id } => id.clone(),
            };
            let Some((blueprint, digest)) = self.blueprints.get(&id).cloned() else {
                continue;
            };
            match command {
                Command::Start { fresh, .. } => {
                    tasks.spawn(async move {
                        let input = match ops.start(&blueprint, &digest, fresh).await {
                            Ok(pid) => Input::Started { id, pid },
                            Err(error) => not_started(id, &error),
                        };
                        let _ = sender.send(Message::Input(input));
                    });
                }
                Command::Check { pid, .. } => {
                    self.checks = self.checks.wrapping_add(1);
                    let number = self.checks;
                    tasks.spawn(async move {
                        let passed = watching::check(&ops, &blueprint, number).await;
                        let _ = sender.send(Message::Input(Input::Checked { id, pid, passed }));
                    });
                }
                Command::Stop { .. } => {
                    let grace = self.grace.unwrap_or(blueprint.stop_grace);
                    tasks.spawn(async move {
                        let code = stop(&ops, &blueprint, grace).await;
                        let _ = sender.send(Message::Input(Input::Stopped { id, code }));
                    });
                }
            }
        }
    }

    fn tell(&self) {
        let one = |(id, (blueprint, _)): (&String, &(Arc<Blueprint>, String))| {
            let view = self.machine.view(id)?;
            Some(status(blueprint, &view, self.ops.networks.addresses(id)))
        };
        let containers = self.blueprints.iter().filter_map(one).collect();
        let (settled, stopped) = (self.machine.is_settled(), self.machine.is_stopped());
        self.told.send_replace(Told {
            containers,
            settled,
            stopped,
        });
    }
}

async fn stop(ops: &Ops, blueprint: &Blueprint, grace: Duration) -> Option<u32> {
    loop {
        match ops.stop(&blueprint.id, blueprint.stop_signal, grace).await {
            Ok(code) => return code,
            Err(error) => {
                tracing::warn!(
                    container = blueprint.id,
                    error = error.chain(),
                    "stopping it again"
                );
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn not_started(id: String, error: &RuntimeError) -> Input {
    let again = error.is_transient();
    let reason = error.chain();
    tracing::warn!(container = id, reason, again, "a container could not be started");
    Input::NotStarted { id, reason, again }
}
