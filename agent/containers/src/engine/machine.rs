//! The project as one state machine: inputs are what happened, outputs are what to do. It starts nothing before what it
//! depends on is ready, stops nothing before what depends on it, and never has two operations on one container at a time.

use std::collections::BTreeMap;

use super::member::{Member, Met};
use super::plan::{Action, PlanError, order};
use super::{Desired, Id, Now};

pub(crate) use super::member::Phase;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A start succeeded.
    Started { id: Id, pid: u32 },
    /// A start failed; `again` says that nobody could be asked.
    NotStarted { id: Id, reason: String, again: bool },
    /// The process with this id ended.
    Exited { id: Id, pid: u32, code: u32, oom: bool },
    /// A health check of the process with this id gave a result.
    Checked { id: Id, pid: u32, passed: bool },
    /// A stop is done.
    Stopped { id: Id, code: Option<u32> },
    /// Time passed.
    Tick,
    /// Stop everything.
    Stop,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Clear what is left of it, then start; `fresh`: record and snapshot are made anew.
    Start { id: Id, fresh: bool },
    /// Run its health check once.
    Check { id: Id, pid: u32 },
    /// End it: its signal, its grace, then kill.
    Stop { id: Id },
}

/// The project.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    members: BTreeMap<Id, Member>,
    order: Vec<Id>,
    stopping: bool,
}

/// A container as the machine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) phase: Phase,
    pub(crate) health: Option<super::health::Health>,
    pub(crate) restarts: u32,
    /// Last exit: code and whether the memory killer did it.
    pub(crate) exit: Option<(u32, bool)>,
}

impl Machine {
    /// Begins from a plan's actions; gives the first things to do.
    pub(crate) fn new(
        desired: &[Desired],
        actions: &[Action],
        now: Now,
    ) -> Result<(Self, Vec<Command>), PlanError> {
        let order = order(desired)?;
        let wanted: BTreeMap<&Id, &Desired> = desired.iter().map(|one| (&one.id, one)).collect();
        let mut members = BTreeMap::new();
        for action in actions {
            let (id, fresh) = match action {
                Action::Remove(_) => continue,
                Action::Adopt(id, _) | Action::AdoptExited(id, _) | Action::Start(id) => (id, false),
                Action::Recreate(id) | Action::Create(id) => (id, true),
            };
            let Some(one) = wanted.get(id) else { continue };
            let mut member = Member::new((*one).clone(), Phase::Waiting, fresh);
            match action {
                Action::Adopt(_, pid) => member.running(*pid, now, true),
                Action::AdoptExited(_, code) => {
                    member.started = true;
                    member.ended(*code, false, now);
                }
                _ => {}
            }
            members.insert(id.clone(), member);
        }
        let mut this = Self {
            members,
            order,
            stopping: false,
        };
        let commands = this.step(now);
        Ok((this, commands))
    }

    /// Takes what happened; gives what to do.
    pub(crate) fn input(&mut self, input: Input, now: Now) -> Vec<Command> {
        match input {
            Input::Started { id, pid } => self.started(&id, pid, now),
            Input::NotStarted { id, reason, again } => self.not_started(&id, reason, again, now),
            Input::Exited { id, pid, code, oom } => {
                if let Some(member) = self.member_running(&id, pid) {
                    member.ended(code, oom, now);
                }
            }
            Input::Checked { id, pid, passed } => {
                if let Some(health) = self
                    .member_running(&id, pid)
                    .and_then(|member| member.health.as_mut())
                {
                    health.result(passed, now);
                }
            }
            Input::Stopped { id, code } => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.phase = Phase::Stopped;
                    member.health = None;
                    member.exit = code.map(|code| (code, false)).or(member.exit);
                }
            }
            Input::Tick => {}
            Input::Stop => self.stopping = true,
        }
        self.step(now)
    }

    /// When to give the next [`Input::Tick`] at the latest.
    pub(crate) fn deadline(&self) -> Option<Now> {
        let of = |member: &Member| match &member.phase {
            Phase::Backoff { until } => Some(*until),
            Phase::Running { .. } => member
                .health
                .as_ref()
                .and_then(super::health::HealthState::deadline),
            _ => None,
        };
        self.members.values().filter_map(of).min()
    }

    /// Whether nothing is waiting for its first start any more.
    pub(crate) fn is_settled(&self) -> bool {
        !self.members.values().any(|member| match member.phase {
            Phase::Waiting => true,
            Phase::Starting | Phase::Backoff { .. } => !member.started,
            _ => false,
        })
    }

    /// Whether everything was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopping && !self.members.values().any(Member::is_alive)
    }

    /// One container.
    pub(crate) fn view(&self, id: &str) -> Option<View> {
        self.members.get(id).map(|member| View {
            phase: member.phase.clone(),
            health: member.health.as_ref().map(super::health::HealthState::state),
            restarts: member.restarts,
            exit: member.exit,
        })
    }

    fn member_running(&mut self, id: &str, expected: u32) -> Option<&mut Member> {
        self.members
            .get_mut(id)
            .filter(|one| matches!(one.phase, Phase::Running { pid, .. } if pid == expected))
    }

    fn started(&mut self, id: &str, pid: u32, now: Now) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let again = member.started;
        member.running(pid, now, false);
        if !again {
            return;
        }
        // The namespace they live in went away with the old process.
        let sharers = self
            .members
            .values_mut()
            .filter(|one| one.desired.network_of.as_deref() == Some(id));
        for sharer in sharers.filter(|one| matches!(one.phase, Phase::Running { .. })) {
            sharer.phase = Phase::Backoff { until: now };
        }
    }

    fn not_started(&mut self, id: &str, reason: String, again: bool, now: Now) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        member.phase = if again || member.started {
            Phase::Backoff {
                until: now + member.backoff.after(Now::ZERO),
            }
        } else {
            Phase::Failed { reason }
        };
    }

    fn step(&mut self, now: Now) -> Vec<Command> {
        let mut commands = Vec::new();
        if self.stopping {
            self.stop_ready(&mut commands);
            return commands;
        }
        for id in self.order.clone() {
            let verdict = self.verdict(&id);
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            match (&member.phase, verdict) {
                (Phase::Waiting, Ok(Met::Yes)) => {
                    member.phase = Phase::Starting;
                    commands.push(Command::Start {
                        id: id.clone(),
                        fresh: member.fresh,
                    });
                }
                (Phase::Waiting, Err(reason)) => member.phase = Phase::Failed { reason },
                (Phase::Backoff { until }, _) if *until <= now => {
                    member.restarts = member.restarts.saturating_add(u32::from(member.started));
                    member.phase = Phase::Starting;
                    commands.push(Command::Start {
                        id: id.clone(),
                        fresh: member.fresh,
                    });
                }
                (Phase::Running { pid, .. }, _) => {
                    let pid = *pid;
                    if member.health.as_mut().is_some_and(|health| health.due(now)) {
                        commands.push(Command::Check { id: id.clone(), pid });
                    }
                }
                _ => {}
            }
        }
        commands
    }

    /// Whether what a container depends on is ready; `Err` when it never will be.
    fn verdict(&self, id: &str) -> Result<Met, String> {
        let Some(member) = self.members.get(id) else {
            return Ok(Met::NotYet);
        };
        let mut all = Met::Yes;
        let network = member
            .desired
            .network_of
            .as_ref()
            .map(|of| (of, super::Need::Started, true));
        let edges = member
            .desired
            .depends
            .iter()
            .map(|edge| (&edge.on, edge.need, edge.required));
        for (on, need, required) in edges.chain(network) {
            match self.members.get(on).map_or(Met::Never, |other| other.meets(need)) {
                Met::Yes => {}
                Met::NotYet => all = Met::NotYet,
                Met::Never if required => return Err(format!("{on}, which it depends on, failed")),
                Met::Never => {}
            }
        }
        Ok(all)
    }

    fn stop_ready(&mut self, commands: &mut Vec<Command>) {
        for id in self.order.clone().into_iter().rev() {
            let held = self.members.values().any(|other| {
                other.is_alive() && other.desired.needs().any(|need| *need == id) && other.desired.id != id
            });
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            match member.phase {
                Phase::Running { .. } | Phase::Exited if !held => {
                    member.phase = Phase::Stopping;
                    commands.push(Command::Stop { id });
                }
                Phase::Waiting | Phase::Backoff { .. } | Phase::Failed { .. } => {
                    // A container between two runs still has an address and a task to clear.
                    member.phase = if member.started {
                        Phase::Exited
                    } else {
                        Phase::Stopped
                    };
                    if member.started && !held {
                        member.phase = Phase::Stopping;
                        commands.push(Command::Stop { id });
                    }
                }
                _ => {}
            }
        }
    }
}
