//! The evidence of a decision, from the states it was made over and the headers between them. Refused: evidence for blocks
//! the bridge no longer holds, and evidence that would say something else than the decision did.

use crate::{Bridge, BridgeError, Decided, HeaderSource, bridge::contract_fault, snapshot::Snapshot};
use alloy::{consensus::Header, primitives::B256};
use authority_policy::{
    DecisionEvidence, EvmRules, Facts, MAX_LINKS, PolicyError, ProvenHeader, Stop, Subject, Subjected,
};
use kms_types::ChainAddress;
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

/// A decision and what it was made over; cheap to hand on, since the states are shared.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) subject: Subject,
    pub(crate) facts: Facts,
    pub(crate) decided: Decided,
    pub(crate) snapshot: Snapshot,
}

/// Makes evidence; remembers the headers between finalized block and head from one decision to the next.
#[derive(Clone)]
pub(crate) struct Prover {
    contract: ChainAddress,
    rules: EvmRules,
    headers: Arc<dyn HeaderSource>,
    known: Arc<Mutex<LruCache<B256, Arc<ProvenHeader>>>>,
}

impl Prover {
    pub(crate) fn new(contract: ChainAddress, rules: EvmRules, headers: Arc<dyn HeaderSource>) -> Self {
        let room = NonZeroUsize::new(MAX_LINKS).unwrap_or(NonZeroUsize::MIN);
        Self {
            contract,
            rules,
            headers,
            known: Arc::new(Mutex::new(LruCache::new(room))),
        }
    }

    /// The evidence of a decision.
    pub(crate) async fn prove(&self, made: Made) -> Result<DecisionEvidence, BridgeError> {
        let links = self.links(&made.snapshot).await?;
        let (contract, rules) = (self.contract, self.rules);
        let work = tokio::task::spawn_blocking(move || proven(&made, contract, rules, links));
        work.await
            .map_err(|error| BridgeError::unavailable(error.to_string()))?
    }

    /// The headers between the two blocks, oldest first.
    async fn links(&self, snapshot: &Snapshot) -> Result<Vec<Header>, BridgeError> {
        let (head, finalized) = (snapshot.head.state.header(), snapshot.finalized.state.header());
        let between = head.number().saturating_sub(finalized.number()).saturating_sub(1);
        if between > MAX_LINKS as u64 {
            return Err(BridgeError::TooMuch {
                what: "headers from finalized block to head",
                limit: MAX_LINKS,
            });
        }
        let head = snapshot.head.state.shared_header();
        let lowest = finalized.number().saturating_add(1);
        let (mut links, mut child) = (Vec::new(), Arc::clone(&head));
        for _ in 0..between {
            let parent = match self.known(child.parent_hash()) {
                Some(parent) => parent,
                None => self.fetched(&child, lowest).await?,
            };
            links.push(parent.fields().clone());
            child = parent;
        }
        self.keep(head);
        links.reverse();
        Ok(links)
    }

    /// The parent of a header, after everything down to `lowest` was fetched.
    async fn fetched(&self, child: &ProvenHeader, lowest: u64) -> Result<Arc<ProvenHeader>, BridgeError> {
        for header in self.headers.ancestors(child, lowest).await? {
            self.keep(header);
        }
        let name = self.headers.name();
        let missing = || BridgeError::unavailable(format!("{name}: no header {}", child.parent_hash()));
        self.known(child.parent_hash()).ok_or_else(missing)
    }

    fn known(&self, hash: B256) -> Option<Arc<ProvenHeader>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&hash).cloned()
    }

    fn keep(&self, header: Arc<ProvenHeader>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.put(header.hash(), header);
    }
}

fn proven(
    made: &Made,
    contract: ChainAddress,
    rules: EvmRules,
    links: Vec<Header>,
) -> Result<DecisionEvidence, BridgeError> {
    let about = Subjected {
        contract,
        subject: made.subject,
        facts: &made.facts,
        rules,
    };
    let (head, finalized) = (&made.snapshot.head, &made.snapshot.finalized);
    let evidence = DecisionEvidence::new(&about, &head.state, links, &finalized.state);
    let evidence = evidence.map_err(|stop| match stop {
        Stop::Missing(missing) => BridgeError::unavailable(format!("no longer held: {missing}")),
        Stop::Failed(fault) => contract_fault(head, fault),
    })?;
    // C8: evidence of another decision than the one that was acted on must not be filed as its evidence.
    if evidence.verdict != made.decided.verdict || evidence.record_hash != made.decided.record_hash {
        let said = format!(
            "decided {:?}, proven {:?}",
            made.decided.verdict, evidence.verdict
        );
        return Err(contract_fault(head, PolicyError::Evm(said)));
    }
    Ok(evidence)
}

impl Bridge {
    /// The evidence of a decision that was made over the newest blocks.
    ///
    /// # Errors
    /// When other blocks are the newest by now, or some of the state is no longer held.
    pub async fn evidence(
        &self,
        subject: Subject,
        facts: &Facts,
        decided: &Decided,
    ) -> Result<DecisionEvidence, BridgeError> {
        let snapshot = self.current()?;
        if (snapshot.head.block, snapshot.finalized.block) != (decided.head, decided.finalized) {
            let head = decided.head.block_ref();
            return Err(BridgeError::unavailable(format!(
                "head {head} is no longer the newest"
            )));
        }
        let made = Made {
            subject,
            facts: facts.clone(),
            decided: decided.clone(),
            snapshot,
        };
        self.prover.prove(made).await
    }
}
