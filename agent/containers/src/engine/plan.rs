//! What to do about what containerd holds: adopt, start, make anew, remove. Refuses a graph with a cycle or an edge to
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Desired, Id};

/// What containerd holds under an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) id: Id,
    /// Digest it was made with.
    pub(crate) digest: String,
    pub(crate) task: Found,
}

/// The running side of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No task: it was stopped, or the machine booted since.
    Nothing,
    /// A task that was made and not started.
    Half,
    /// It runs.
    Running(u32),
    /// It ended by itself with this code.
    Exited(u32),
}

/// One step towards the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Remove a container the project does not name.
    Remove(Id),
    /// Take over a running container as it is.
    Adopt(Id, u32),
    /// Take over a container that ended; its restart policy decides.
    AdoptExited(Id, u32),
    /// Start a container that is there, after clearing what is left of its last run.
    Start(Id),
    /// Remove a container that is not what the project says now, and make it.
    Recreate(Id),
    /// Make a container.
    Create(Id),
}

/// Why there is no order to start in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("these containers wait for each other: {}", .0.join(", "))]
    Cycle(Vec<Id>),
    #[error("{from} depends on {to}, which is not part of the project")]
    Unknown { from: Id, to: Id },
}

/// Ids so that each comes after everything it needs; ties in the order given.
pub(crate) fn order(desired: &[Desired]) -> Result<Vec<Id>, PlanError> {
    let known: BTreeSet<&Id> = desired.iter().map(|one| &one.id).collect();
    for one in desired {
        if let Some(to) = one.needs().find(|to| !known.contains(to)) {
            return Err(PlanError::Unknown {
                from: one.id.clone(),
                to: to.clone(),
            });
        }
    }
    let mut done: BTreeSet<&Id> = BTreeSet::new();
    let mut order = Vec::with_capacity(desired.len());
    while order.len() < desired.len() {
        let ready: Vec<&Desired> = desired
            .iter()
            .filter(|one| !done.contains(&one.id) && one.needs().all(|need| done.contains(need)))
            .collect();
        if ready.is_empty() {
            let left = desired
                .iter()
                .filter(|one| !done.contains(&one.id))
                .map(|one| one.id.clone());
            return Err(PlanError::Cycle(left.collect()));
        }
        for one in ready {
            done.insert(&one.id);
            order.push(one.id.clone());
        }
    }
    Ok(order)
}

/// Steps from what is there to what the project says, in an order that respects dependencies; removals first.
pub(crate) fn plan(desired: &[Desired], observed: &[Observed]) -> Result<Vec<Action>, PlanError> {
    let order = order(desired)?;
    let wanted: BTreeMap<&Id, &Desired> = desired.iter().map(|one| (&one.id, one)).collect();
    let there: BTreeMap<&Id, &Observed> = observed.iter().map(|one| (&one.id, one)).collect();
    let mut actions: Vec<Action> = observed
        .iter()
        .filter(|one| !wanted.contains_key(&one.id))
        .map(|one| Action::Remove(one.id.clone()))
        .collect();
    let mut made: BTreeSet<&Id> = BTreeSet::new();
    let mut moved: BTreeSet<&Id> = BTreeSet::new();
    for id in &order {
        let Some(one) = wanted.get(id) else { continue };
        // Its namespace is gone with the old process of the other; it would run without a network.
        let cut = one.network_of.as_ref().is_some_and(|of| moved.contains(of));
        let asked = one
            .depends
            .iter()
            .any(|edge| edge.restart && made.contains(&edge.on));
        let action = match there.get(id) {
            None => Action::Create(id.clone()),
            Some(found) if found.digest != one.digest => Action::Recreate(id.clone()),
            Some(_) if cut || asked => Action::Start(id.clone()),
            Some(found) => match found.task {
                Found::Running(pid) => Action::Adopt(id.clone(), pid),
                Found::Exited(code) => Action::AdoptExited(id.clone(), code),
                Found::Nothing | Found::Half => Action::Start(id.clone()),
            },
        };
        if matches!(action, Action::Create(_) | Action::Recreate(_)) {
            made.insert(&one.id);
        }
        if !matches!(action, Action::Adopt(..)) {
            moved.insert(&one.id);
        }
        actions.push(action);
    }
    Ok(actions)
}
