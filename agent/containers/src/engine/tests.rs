//! The engine against random projects and random events, with its promises named; and the plan case by case.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::machine::{Command, Input, Machine, Phase};
use super::plan::{Action, Found, Observed, PlanError, plan};
use super::{Dependency, Desired, Need, Restart, RestartWhen};

fn container(id: usize, needs: &[(usize, Need)], when: RestartWhen, most: Option<u32>) -> Desired {
    let edge = |(on, need): &(usize, Need)| Dependency {
        on: format!("c{on}"),
        need: *need,
        required: true,
        restart: false,
    };
    Desired {
        id: format!("c{id}"),
        digest: "1".to_owned(),
        depends: needs.iter().map(edge).collect(),
        network_of: None,
        restart: Restart { when, most },
        restart_delay: None,
        health: None,
    }
}

fn plain(id: usize, needs: &[usize]) -> Desired {
    let needs: Vec<_> = needs.iter().map(|on| (*on, Need::Started)).collect();
    container(id, &needs, RestartWhen::Never, None)
}

fn seen(id: usize, digest: &str, task: Found) -> Observed {
    Observed {
        id: format!("c{id}"),
        digest: digest.to_owned(),
        task,
    }
}

#[test]
fn a_plan_adopts_starts_recreates_creates_and_removes() {
    let mut desired: Vec<Desired> = (0..5).map(|id| plain(id, &[])).collect();
    desired[0].network_of = Some("c4".to_owned());
    let observed = [
        seen(0, "1", Found::Running(7)),
        seen(1, "1", Found::Running(8)),
        seen(2, "0", Found::Running(9)),
        seen(3, "1", Found::Exited(3)),
        seen(4, "1", Found::Half),
        seen(9, "1", Found::Running(10)),
    ];
    let id = |id: usize| format!("c{id}");
    let actions = plan(&desired, &observed).unwrap();
    let expected = [
        Action::Remove(id(9)),
        Action::Adopt(id(1), 8),
        Action::Recreate(id(2)),
        Action::AdoptExited(id(3), 3),
        Action::Start(id(4)),
        // Its network went with the task of c4.
        Action::Start(id(0)),
    ];
    assert_eq!(actions, expected);
    assert_eq!(plan(&desired, &[]).unwrap().len(), 5);
}

#[test]
fn a_cycle_and_an_edge_to_nothing_are_refused() {
    let cycle = [plain(0, &[1]), plain(1, &[0])];
    assert_eq!(
        plan(&cycle, &[]),
        Err(PlanError::Cycle(vec!["c0".to_owned(), "c1".to_owned()]))
    );
    assert!(matches!(
        plan(&[plain(0, &[3])], &[]),
        Err(PlanError::Unknown { .. })
    ));
}

#[test]
fn a_container_in_the_network_of_another_follows_its_restarts() {
    let mut desired = vec![container(0, &[], RestartWhen::Always, None), plain(1, &[0])];
    desired[1].network_of = Some("c0".to_owned());
    let actions = plan(&desired, &[]).unwrap();
    let (mut machine, commands) = Machine::new(&desired, &actions, Duration::ZERO).unwrap();
    assert_eq!(
        commands,
        [Command::Start {
            id: "c0".to_owned(),
            fresh: true
        }]
    );
    let started = |id: &str, pid| Input::Started {
        id: id.to_owned(),
        pid,
    };
    assert_eq!(machine.input(started("c0", 10), Duration::ZERO).len(), 1);
    assert!(machine.input(started("c1", 11), Duration::ZERO).is_empty());
    let now = Duration::from_secs(1);
    let exit = Input::Exited {
        id: "c0".to_owned(),
        pid: 10,
        code: 0,
        oom: false,
    };
    assert!(machine.input(exit, now).is_empty());
    let now = machine.deadline().unwrap();
    assert_eq!(
        machine.input(Input::Tick, now),
        [Command::Start {
            id: "c0".to_owned(),
            fresh: false
        }]
    );
    let again = machine.input(started("c0", 12), now);
    assert_eq!(
        again,
        [Command::Start {
            id: "c1".to_owned(),
            fresh: false
        }]
    );
}

/// What the test knows about the outside while it plays events.
#[derive(Default)]
struct World {
    starting: BTreeSet<String>,
    running: BTreeMap<String, u32>,
    stopping: BTreeSet<String>,
    started: BTreeSet<String>,
    completed: BTreeSet<String>,
    starts: BTreeMap<String, u32>,
    stopped: bool,
    pid: u32,
}

impl World {
    fn take(&mut self, desired: &[Desired], commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Start { id, .. } => {
                    assert!(!self.stopped, "{id} is started while everything stops");
                    assert!(
                        !self.starting.contains(&id) && !self.stopping.contains(&id),
                        "two operations on {id}"
                    );
                    let one = desired.iter().find(|one| one.id == id).unwrap();
                    for edge in &one.depends {
                        let ready = match edge.need {
                            Need::Completed => {
                                self.completed.contains(&edge.on) || self.started.contains(&id)
                            }
                            _ => self.started.contains(&edge.on),
                        };
                        assert!(ready, "{id} is started before {}", edge.on);
                    }
                    *self.starts.entry(id.clone()).or_default() += 1;
                    self.running.remove(&id);
                    self.starting.insert(id);
                }
                Command::Stop { id } => {
                    assert!(
                        self.stopped && !self.starting.contains(&id),
                        "two operations on {id}"
                    );
                    for other in desired
                        .iter()
                        .filter(|one| one.depends.iter().any(|edge| edge.on == id))
                    {
                        let alive = self.running.contains_key(&other.id) || self.starting.contains(&other.id);
                        assert!(
                            !alive && !self.stopping.contains(&other.id),
                            "{id} is stopped before {}",
                            other.id
                        );
                    }
                    assert!(self.stopping.insert(id), "stopped twice");
                }
                Command::Check { id, .. } => assert!(self.running.contains_key(&id)),
            }
        }
    }

    /// One event out of those that can happen now.
    fn event(&mut self, choice: usize, code: u32) -> Option<Input> {
        let mut all: Vec<Input> = Vec::new();
        for id in &self.starting {
            all.push(Input::Started {
                id: id.clone(),
                pid: self.pid,
            });
            all.push(Input::NotStarted {
                id: id.clone(),
                reason: "no".to_owned(),
                again: code == 0,
            });
        }
        for (id, pid) in &self.running {
            all.push(Input::Exited {
                id: id.clone(),
                pid: *pid,
                code,
                oom: false,
            });
        }
        for id in &self.stopping {
            all.push(Input::Stopped {
                id: id.clone(),
                code: None,
            });
        }
        let input = all.into_iter().cycle().nth(choice)?;
        match &input {
            Input::Started { id, pid } => {
                self.starting.remove(id);
                self.started.insert(id.clone());
                self.running.insert(id.clone(), *pid);
                self.pid += 1;
            }
            Input::NotStarted { id, .. } => drop(self.starting.remove(id)),
            Input::Exited { id, .. } => {
                self.running.remove(id);
                if code == 0 {
                    self.completed.insert(id.clone());
                }
            }
            Input::Stopped { id, .. } => {
                self.stopping.remove(id);
                self.running.remove(id);
            }
            _ => {}
        }
        Some(input)
    }
}

/// Needs, restart policy and its bound, as drawn.
type Drawn = (Vec<(usize, u8)>, u8, Option<u32>);

fn projects() -> impl Strategy<Value = Vec<Desired>> {
    let one = (
        proptest::collection::vec((0_usize..8, 0_u8..2), 0..3),
        0_u8..3,
        proptest::option::of(0_u32..3),
    );
    proptest::collection::vec(one, 1..7).prop_map(|all| {
        let build = |(id, (needs, when, most)): (usize, Drawn)| {
            // Only earlier ones are needed: no cycles.
            let needs: Vec<_> = needs
                .into_iter()
                .filter(|(on, _)| *on < id)
                .map(|(on, need)| (on, if need == 0 { Need::Started } else { Need::Completed }))
                .collect();
            let when = [RestartWhen::Never, RestartWhen::Always, RestartWhen::OnFailure][usize::from(when)];
            container(id, &needs, when, most)
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

proptest! {
    /// Order of starts and stops, one operation at a time, bounded restarts, and an end to every stop.
    #[test]
    fn promises_hold_whatever_happens(
        desired in projects(),
        events in proptest::collection::vec((0_usize..40, 0_u32..2), 0..60),
        stop_at in 0_usize..60,
    ) {
        let actions = plan(&desired, &[]).unwrap();
        let (mut machine, commands) = Machine::new(&desired, &actions, Duration::ZERO).unwrap();
        let mut world = World { pid: 100, ..World::default() };
        let mut now = Duration::ZERO;
        world.take(&desired, commands);
        for (step, (choice, code)) in events.into_iter().enumerate() {
            if step == stop_at {
                world.stopped = true;
                let commands = machine.input(Input::Stop, now);
                world.take(&desired, commands);
            }
            now += Duration::from_millis(50);
            if let Some(input) = world.event(choice, code) {
                let commands = machine.input(input, now);
                world.take(&desired, commands);
            }
            let commands = machine.input(Input::Tick, now);
            world.take(&desired, commands);
        }
        for one in &desired {
            if let (Some(most), true) = (one.restart.most, one.restart.when != RestartWhen::Never) {
                prop_assert!(machine.view(&one.id).unwrap().restarts <= most.max(world.starts.get(&one.id).copied().unwrap_or(0)));
            }
        }
        world.stopped = true;
        let commands = machine.input(Input::Stop, now);
        world.take(&desired, commands);
        for _ in 0..200 {
            let Some(input) = world.event(0, 1) else { break };
            let commands = machine.input(input, now);
            world.take(&desired, commands);
        }
        prop_assert!(machine.is_stopped(), "{:?}", machine);
        for one in &desired {
            prop_assert_eq!(machine.view(&one.id).unwrap().phase, Phase::Stopped);
        }
    }
}
