//! Fetches what an execution misses, has it proven, and runs again, within a bound on rounds.

use crate::{BridgeConfig, BridgeError, Evidence, EvidenceSource, Want};
use alloy::{
    consensus::constants::KECCAK_EMPTY,
    primitives::{Address, B256, Bytes},
};
use authority_policy::{Missing, Outcome, PolicyError, ProvenState, Stop};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Accounts taken from a guess.
const MAX_HINTED_ACCOUNTS: usize = 64;
/// Slots taken from a guess at what a call will read. A liar's guess makes honest endpoints prove them for nothing.
const MAX_HINTED: usize = 128;
/// Rounds after which another one is asked for a guess.
const HINT_EVERY: usize = 4;

/// Grows proven states with evidence from a source nobody trusts.
#[derive(Clone)]
pub(crate) struct Fetcher {
    source: Arc<dyn EvidenceSource>,
    max_rounds: usize,
}

/// Runs of the same call: what is asked of which contract, and how.
pub(crate) struct Call<F> {
    pub(crate) contract: Address,
    pub(crate) data: Bytes,
    pub(crate) ask: F,
}

/// An answer of the contract, or its fault.
pub(crate) type Answer<T> = Result<Outcome<T>, PolicyError>;

impl Fetcher {
    pub(crate) fn new(source: Arc<dyn EvidenceSource>, config: &BridgeConfig) -> Self {
        Self {
            source,
            max_rounds: config.max_rounds_per_decision,
        }
    }

    /// Runs `call` over `state`, fetching and proving what it misses.
    pub(crate) async fn complete<T, F>(
        &self,
        state: &ProvenState,
        call: &Call<F>,
    ) -> Result<Answer<T>, BridgeError>
    where
        T: Send + 'static,
        F: Fn(&ProvenState) -> Result<Outcome<T>, Stop> + Clone + Send + 'static,
    {
        let sources = self.sources();
        for round in 0..self.max_rounds {
            let missing = match run(call.ask.clone(), state.clone()).await? {
                Ok(outcome) => return Ok(Ok(outcome)),
                Err(Stop::Failed(fault)) => return Ok(Err(fault)),
                Err(Stop::Missing(missing)) => missing,
            };
            let mut wants = Wants::default();
            wants.missing(missing)?;
            // A guess is not held against the call: whoever makes a bad one costs round trips, and the next one is asked.
            if let Some(source) = sources
                .get(round / HINT_EVERY)
                .filter(|_| round % HINT_EVERY == 0)
            {
                let block = state.header().hash();
                match source.hint(block, call.contract, call.data.clone()).await {
                    Ok(hinted) => wants.hinted(state, hinted, MAX_HINTED),
                    Err(error) => tracing::debug!(%error, "no access list"),
                }
            }
            let wants = wants.into_vec();
            self.prove(state, &wants).await?;
        }
        Err(BridgeError::TooMuch {
            what: "rounds of fetching for one call",
            limit: self.max_rounds,
        })
    }

    fn sources(&self) -> Vec<Arc<dyn EvidenceSource>> {
        let mut sources = self.source.sources();
        if sources.is_empty() {
            sources.push(Arc::clone(&self.source));
        }
        sources
    }

    /// Fetches evidence and has the state verify it. Whoever's evidence proves nothing is named, and the next one is asked.
    pub(crate) async fn prove(&self, state: &ProvenState, wants: &[Want]) -> Result<(), BridgeError> {
        let mut failure = BridgeError::unavailable("nobody to ask for evidence");
        for source in self.sources() {
            let fetched = source.evidence(state.header().hash(), wants).await?;
            let Err(fault) = fetched.into_iter().try_for_each(|evidence| add(state, evidence)) else {
                return Ok(());
            };
            tracing::warn!(endpoint = source.name(), %fault, "evidence was refused");
            self.source.report(source.name(), &fault);
            failure = BridgeError::Evidence {
                endpoint: source.name().to_owned(),
                fault: Box::new(fault),
            };
        }
        Err(failure)
    }
}

/// A policy call may take milliseconds; it must not hold up the tasks of this thread.
async fn run<T, F>(ask: F, state: ProvenState) -> Result<Result<Outcome<T>, Stop>, BridgeError>
where
    T: Send + 'static,
    F: Fn(&ProvenState) -> Result<Outcome<T>, Stop> + Send + 'static,
{
    tokio::task::spawn_blocking(move || ask(&state))
        .await
        .map_err(|error| BridgeError::unavailable(format!("execution ended early: {error}")))
}

fn add(state: &ProvenState, evidence: Evidence) -> Result<(), PolicyError> {
    let address = evidence.account.address;
    state.add_account(&evidence.account)?;
    if let Some(code) = evidence.code {
        state.add_code(address, code)?;
    }
    evidence
        .slots
        .iter()
        .try_for_each(|slot| state.add_slot(address, slot))
}

/// Wishes, each account once.
#[derive(Default)]
struct Wants(BTreeMap<Address, (BTreeSet<B256>, bool)>);

impl Wants {
    fn missing(&mut self, missing: Missing) -> Result<(), BridgeError> {
        match missing {
            // Most accounts a call meets are contracts it then runs.
            Missing::Account(address) | Missing::Code { address, .. } => self.entry(address).1 = true,
            Missing::Slot { address, slot } => {
                self.entry(address).0.insert(slot);
            }
            Missing::BlockHash(_) => return Err(BridgeError::unavailable(missing.to_string())),
        }
        Ok(())
    }

    /// Takes what is not proven yet, as far as the bounds go.
    fn hinted(&mut self, state: &ProvenState, hinted: Vec<Want>, mut most: usize) {
        for want in hinted.into_iter().take(MAX_HINTED_ACCOUNTS) {
            let code = match state.account(want.address) {
                Ok(Some(account)) => {
                    account.code_hash != KECCAK_EMPTY && !state.nodes().has_code(account.code_hash)
                }
                Ok(None) => false,
                Err(_) => true,
            };
            let unknown = |slot: &B256| state.slot(want.address, *slot).is_err();
            let slots: Vec<B256> = want.slots.iter().copied().filter(unknown).take(most).collect();
            most -= slots.len();
            if code || !slots.is_empty() {
                let entry = self.entry(want.address);
                entry.1 |= code;
                entry.0.extend(slots);
            }
        }
    }

    fn entry(&mut self, address: Address) -> &mut (BTreeSet<B256>, bool) {
        self.0.entry(address).or_default()
    }

    fn into_vec(self) -> Vec<Want> {
        let want = |(address, (slots, code)): (Address, (BTreeSet<B256>, bool))| Want {
            address,
            slots: slots.into_iter().collect(),
            code,
        };
        self.0.into_iter().map(want).collect()
    }
}
