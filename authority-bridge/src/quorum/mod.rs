//! Several endpoints as one source of headers: a block counts when k of n have it at its height. Each is asked on its own
//! and in the background, so one that hangs, lies or serves another chain holds up nobody and is named.
//!
//! Refused: a head or finalized block of fewer than k, a finalized block that is no ancestor of the agreed head, and going
//! back to an older head. Not refused, because no vote can: a chain invented by k endpoints together.

mod state;
#[cfg(test)]
mod tests;
mod tree;
mod vote;

use crate::{
    BridgeConfig, BridgeError, EndpointStatus, EvidencePool, HeaderSource, Tip,
    members::{Member, Members},
    source::PIECE,
};
use alloy::primitives::B256;
use async_trait::async_trait;
use authority_policy::ProvenHeader;
use futures_util::{StreamExt, stream::FuturesUnordered};
use state::{Look, State, reference};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

/// How long a step waits for more answers once enough are there but a higher head was named.
const GRACE: Duration = Duration::from_millis(50);

/// How often endpoints that are due are asked again while too few have answered.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// k of n endpoints.
pub struct Quorum {
    inner: Arc<Inner>,
    tasks: Mutex<Vec<Option<AbortHandle>>>,
}

struct Inner {
    members: Members,
    name: String,
    needed: usize,
    max_disagreement: Duration,
    /// Longest an endpoint may take to show the ancestors of its head.
    linking_timeout: Duration,
    state: Mutex<State>,
    answers: watch::Sender<u64>,
}

impl Quorum {
    /// Prepares the clients of all endpoints; nothing is sent yet.
    ///
    /// # Errors
    /// What [`BridgeConfig::check`] refuses, and an HTTP client that cannot be made.
    pub fn new(config: &BridgeConfig) -> Result<Self, BridgeError> {
        config.check()?;
        let members = Members::new(config)?;
        let (needed, count) = (config.needed(), members.all().len());
        Ok(Self {
            tasks: Mutex::new(vec![None; count]),
            inner: Arc::new(Inner {
                name: format!("{needed} of {count} endpoints ({})", members.names()),
                state: Mutex::new(State::new(count)),
                answers: watch::Sender::default(),
                max_disagreement: config.max_disagreement,
                linking_timeout: config.request_timeout.saturating_mul(2),
                members,
                needed,
            }),
        })
    }

    /// The same endpoints as sources of evidence. They share what is known of each other's faults.
    pub fn evidence(&self) -> EvidencePool {
        EvidencePool::new(self.inner.members.clone())
    }

    /// Asks every endpoint that is not asked already and not left alone for a while.
    fn ask(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, slot) in tasks.iter_mut().enumerate() {
            if self.inner.begin(index) {
                let inner = Arc::clone(&self.inner);
                let task = tokio::spawn(async move { inner.refresh(index).await });
                *slot = Some(task.abort_handle());
            }
        }
    }
}

impl Drop for Quorum {
    fn drop(&mut self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().flatten().for_each(AbortHandle::abort);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, index: usize) -> bool {
        let mut state = self.state();
        // A frozen endpoint or a liar stands too: without those that agree, one that failed before must not be left alone.
        let agreeing = state.claims.iter().filter(|claim| claim.stands && claim.agrees);
        let is_needed = agreeing.count() < self.needed;
        let due = |member: &Member| member.is_due(is_needed);
        match (state.claims.get_mut(index), self.members.get(index)) {
            (Some(claim), Some(member)) if !claim.in_flight && due(member) => {
                claim.in_flight = true;
                true
            }
            _ => false,
        }
    }

    async fn refresh(&self, index: usize) {
        let Some(member) = self.members.get(index) else {
            return;
        };
        let asked = Instant::now();
        let answer = member.endpoint.tip().await;
        let latency = asked.elapsed();
        let answer = match answer {
            // C6: a head far away, told slowly, must not keep a step waiting; what was linked so far is not lost.
            Ok(tip) => {
                match tokio::time::timeout(self.linking_timeout, self.linked(index, member, tip)).await {
                    Ok(linked) => linked,
                    Err(_) => Err(BridgeError::Endpoint {
                        endpoint: member.name().to_owned(),
                        field: "latest block",
                        detail: format!("expected its ancestors within {:?}", self.linking_timeout),
                    }),
                }
            }
            Err(error) => Err(error),
        };
        let lie = {
            let mut state = self.state();
            let lie = match answer {
                Ok((head, finalized)) => {
                    member.answered(latency);
                    state.take(index, head, finalized)
                }
                Err(error) => {
                    member.failed(&error);
                    if let Some(claim) = state.claims.get_mut(index) {
                        (claim.stands, claim.agrees, claim.error) = (false, false, Some(error));
                    }
                    None
                }
            };
            if let Some(claim) = state.claims.get_mut(index) {
                claim.in_flight = false;
            }
            state.bound_tree();
            lie
        };
        if let Some(text) = lie {
            member.lied(&text);
        }
        self.answers.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Head and finalized block of one endpoint, the head linked down to where chains are compared.
    async fn linked(
        &self,
        index: usize,
        member: &Member,
        tip: Tip,
    ) -> Result<(Arc<ProvenHeader>, Arc<ProvenHeader>), BridgeError> {
        let (head, finalized) = (Arc::new(tip.head), Arc::new(tip.finalized));
        loop {
            let (target, path) = {
                let mut state = self.state();
                let head = state.tree.insert(Arc::clone(&head));
                if let Some(claim) = state.claims.get_mut(index) {
                    claim.linking = Some(Arc::clone(&head));
                }
                let target = state.target(head.number(), finalized.number());
                (target, state.tree.path(&head))
            };
            let fault = |what: String| BridgeError::Endpoint {
                endpoint: member.name().to_owned(),
                field: "latest block",
                detail: format!("{} {what}", reference(&head)),
            };
            let (Some(target), Some(lowest)) = (target, path.last()) else {
                let (most, last) = (tree::MAX_DEPTH, reference(&finalized));
                return Err(fault(format!(
                    "is more than {most} blocks after finalized block {last}"
                )));
            };
            if tree::extra(&path) > tree::MAX_EXTRA {
                let most = tree::MAX_EXTRA;
                return Err(fault(format!(
                    "and its ancestors have more than {most} bytes of extra data"
                )));
            }
            if lowest.number() <= target {
                return Ok((head, finalized));
            }
            let to = lowest.number().saturating_sub(PIECE).max(target);
            let fetched = member.endpoint.ancestors(lowest, to).await?;
            let mut state = self.state();
            for header in fetched {
                state.tree.insert(header);
            }
        }
    }

    fn look(&self, round: u64) -> Look {
        let mut state = self.state();
        state.look(&self.members, self.needed, self.max_disagreement, round)
    }

    /// Those whose last answer stands.
    fn standing(&self) -> Vec<usize> {
        let state = self.state();
        let standing = state.claims.iter().enumerate().filter(|(_, claim)| claim.stands);
        standing.map(|(index, _)| index).collect()
    }

    /// Headers of the agreed chain, if all of them are known.
    fn known(&self, from: u64, to: u64) -> Option<Vec<ProvenHeader>> {
        let state = self.state();
        let path = state.tree.path(&state.agreed.as_ref()?.head);
        (from..=to)
            .map(|number| Some((**tree::at(&path, number)?).clone()))
            .collect()
    }
}

#[async_trait]
impl HeaderSource for Quorum {
    fn name(&self) -> &str {
        &self.inner.name
    }

    async fn tip(&self) -> Result<Tip, BridgeError> {
        let mut answers = self.inner.answers.subscribe();
        let round = {
            let mut state = self.inner.state();
            state.round += 1;
            state.round
        };
        self.ask();
        let mut end = None;
        loop {
            answers.borrow_and_update();
            let look = self.inner.look(round);
            if look.reach {
                self.ask();
                continue;
            }
            let enough = look.tip.is_ok() && look.fresh >= self.inner.needed;
            if look.in_flight == 0 || enough && look.leads {
                return look.tip;
            }
            if !enough {
                // C6: one that is slow must not keep those that are due again from being asked.
                tokio::select! {
                    _ = answers.changed() => {}
                    () = tokio::time::sleep(ASK_AGAIN) => self.ask(),
                }
                continue;
            }
            let end = *end.get_or_insert_with(|| Instant::now() + GRACE);
            tokio::select! {
                _ = answers.changed() => {}
                () = sleep_until(end) => return look.tip,
            }
        }
    }

    async fn by_hash(&self, hash: B256) -> Result<Option<ProvenHeader>, BridgeError> {
        let known = self
            .inner
            .state()
            .tree
            .get(&hash)
            .map(|header| (**header).clone());
        if known.is_some() {
            return Ok(known);
        }
        let ask = |endpoint: crate::Endpoint| async move {
            // What one does not know the next may.
            endpoint
                .by_hash(hash)
                .await?
                .ok_or_else(|| BridgeError::Endpoint {
                    endpoint: HeaderSource::name(&endpoint).to_owned(),
                    field: "eth_getBlockByHash",
                    detail: format!("does not know block {hash}"),
                })
        };
        let found = self.inner.members.first(self.inner.standing(), false, ask).await;
        found.map(|(_, header)| Some(header))
    }

    // C2: a range decides whether a finalized block descends from the one before, so it counts when k give the same.
    async fn range(&self, from: u64, to: u64) -> Result<Vec<ProvenHeader>, BridgeError> {
        if let Some(known) = self.inner.known(from, to) {
            return Ok(known);
        }
        let ask = |index: usize| async move {
            let member = self.inner.members.get(index)?;
            Some((member.name(), member.endpoint.range(from, to).await))
        };
        let mut asked: FuturesUnordered<_> = self.inner.standing().into_iter().map(ask).collect();
        let (mut same, mut told) = (HashMap::<B256, usize>::new(), Vec::new());
        while let Some(answer) = asked.next().await {
            match answer {
                Some((_, Ok(headers))) if is_chain(&headers, from, to) => {
                    let Some(last) = headers.last().map(ProvenHeader::hash) else {
                        continue;
                    };
                    let count = same.entry(last).or_default();
                    *count += 1;
                    if *count >= self.inner.needed {
                        return Ok(headers);
                    }
                }
                Some((name, Ok(_))) => told.push(format!("{name}: blocks {from} to {to} do not link")),
                Some((_, Err(error))) => told.push(error.to_string()),
                None => {}
            }
        }
        let needed = self.inner.needed;
        let text = format!(
            "blocks {from} to {to} are not the same for {needed} endpoints: {}",
            told.join("; ")
        );
        Err(BridgeError::unavailable(text))
    }

    fn endpoints(&self) -> Vec<EndpointStatus> {
        let state = self.inner.state();
        let told = self.inner.members.all().iter().zip(&state.claims);
        told.map(|(member, claim)| {
            let report = member.report();
            EndpointStatus {
                name: member.name().to_owned(),
                head: claim.head.as_ref().map(reference),
                finalized: claim.finalized.as_ref().map(reference),
                agrees: claim.agrees,
                healthy: report.healthy,
                proves: report.proves,
                last_error: report.last_error,
                subscribed: false,
                lies: report.lies,
            }
        })
        .collect()
    }
}

fn is_chain(headers: &[ProvenHeader], from: u64, to: u64) -> bool {
    let linked = headers.windows(2).all(|pair| match pair {
        [older, newer] => newer.parent_hash() == older.hash(),
        _ => false,
    });
    linked && headers.iter().map(ProvenHeader::number).eq(from..=to)
}
