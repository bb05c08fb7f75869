//! A decision with everything it rests on, so that anyone can check it later with nothing but it and a block's hash.
//!
//! Made over the states a decision was made over ([`DecisionEvidence::new`]), written and read as one file
//! ([`DecisionEvidence::to_json`], [`DecisionEvidence::from_json`]), checked without any network
//! ([`DecisionEvidence::check`]). Refused: evidence that does not prove the decision, and evidence that holds anything else.

mod error;
mod file;
mod list;
mod steps;
mod verify;

pub use error::{FileError, Mismatch};
pub use file::read_header;
pub use verify::{Anchor, AtFinalized, Check, Expected, Report, Verified};

use crate::{
    EvmRules, Facts, Finality, PolicyError, ProvenHeader, ProvenState, Question, Reads, Stop, Subject,
    Verdict, Witness, settle,
};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use kms_types::{BlockHash, ChainAddress};
use std::collections::BTreeMap;

/// Bytes of a file.
pub const MAX_FILE: usize = 8 * 1024 * 1024;
/// Trie nodes of a file.
pub const MAX_FILE_NODES: usize = 4096;
/// Contracts of a file.
pub const MAX_FILE_CODES: usize = 64;
/// Headers between finalized block and head; a chain that finalizes has some hundred at most.
pub const MAX_LINKS: usize = 2048;

/// A header under the hash it is said to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedHeader {
    /// The hash.
    pub hash: B256,
    /// Its fields.
    pub fields: Header,
}

impl From<&ProvenHeader> for ClaimedHeader {
    fn from(header: &ProvenHeader) -> Self {
        Self {
            hash: header.hash(),
            fields: header.fields().clone(),
        }
    }
}

/// What a decision was, about what, and what proves it. Everything in it is a claim until [`DecisionEvidence::check`] has
/// looked; chain id and contract stay claims after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionEvidence {
    /// The contract asked.
    pub contract: ChainAddress,
    /// What for.
    pub subject: Subject,
    /// About what.
    pub facts: Facts,
    /// Keccak-256 of the ABI encoding of the facts.
    pub record_hash: BlockHash,
    /// The chain, and how its contracts are run.
    pub rules: EvmRules,
    /// The decision.
    pub verdict: Verdict,
    /// Which block decided.
    pub decided_by: Finality,
    /// The newest head at that time.
    pub head: ClaimedHeader,
    /// The headers between the two, oldest first.
    pub links: Vec<Header>,
    /// The newest finalized block at that time.
    pub finalized: ClaimedHeader,
    /// Trie nodes and code that prove what the executions at both blocks read, and nothing else.
    pub witness: Witness,
}

/// Where and what a decision was about.
#[derive(Debug, Clone, Copy)]
pub struct Subjected<'a> {
    /// The contract asked.
    pub contract: ChainAddress,
    /// What for.
    pub subject: Subject,
    /// About what.
    pub facts: &'a Facts,
    /// The chain, and how its contracts are run.
    pub rules: EvmRules,
}

impl DecisionEvidence {
    /// Decides once more over the same two states and takes what proves each step. `links` are the headers between them,
    /// oldest first.
    ///
    /// # Errors
    /// [`Stop::Missing`] when the states no longer hold what the decision read; [`Stop::Failed`] when the contract gives
    /// no answer there, or the evidence would be above the bounds of a file.
    pub fn new(
        about: &Subjected<'_>,
        head: &ProvenState,
        links: Vec<Header>,
        finalized: &ProvenState,
    ) -> Result<Self, Stop> {
        let question = Question::new(about.contract, about.subject, about.facts);
        let decided = Replay::run(&question, &about.rules, head, finalized)?;
        let evidence = Self {
            contract: about.contract,
            subject: about.subject,
            facts: about.facts.clone(),
            record_hash: question.record_hash(),
            rules: about.rules,
            verdict: decided.verdict,
            decided_by: decided.decided_by,
            head: head.header().into(),
            links,
            finalized: finalized.header().into(),
            witness: decided.witness,
        };
        evidence.bounded()?;
        Ok(evidence)
    }

    /// Bytes of the parts it is made of.
    pub fn size(&self) -> usize {
        let parts = self.witness.nodes.iter().chain(&self.witness.codes);
        let links = self.links.iter().map(alloy_rlp::Encodable::length);
        parts.map(|part| part.len()).chain(links).sum()
    }

    fn bounded(&self) -> Result<(), PolicyError> {
        for (what, limit, actual) in [
            ("nodes of a decision", MAX_FILE_NODES, self.witness.nodes.len()),
            (
                "contracts of a decision",
                MAX_FILE_CODES,
                self.witness.codes.len(),
            ),
            (
                "headers from finalized block to head",
                MAX_LINKS,
                self.links.len(),
            ),
        ] {
            crate::evidence::at_most(what, limit, actual)?;
        }
        Ok(())
    }
}

/// A decision made over two states, with what it read.
pub(crate) struct Replay {
    pub(crate) verdict: Verdict,
    pub(crate) decided_by: Finality,
    pub(crate) at_head: Verdict,
    pub(crate) at_finalized: AtFinalized,
    pub(crate) witness: Witness,
}

impl Replay {
    pub(crate) fn run(
        question: &Question,
        rules: &EvmRules,
        head: &ProvenState,
        finalized: &ProvenState,
    ) -> Result<Self, Stop> {
        let asked = question.ask(head, rules)?;
        let mut parts = vec![head.witness(&asked.reads)?];
        // C4: a denial at the head decides alone, so nothing else is asked or proven.
        let at_finalized = match asked.value {
            Verdict::Denied { .. } => AtFinalized::NotAsked,
            Verdict::Allowed => {
                let (answer, reads) = ask_finalized(question, rules, finalized)?;
                parts.push(finalized.witness(&reads)?);
                answer
            }
        };
        let (verdict, decided_by) = settle(&asked.value, at_finalized.verdict(), finalized.header().number());
        Ok(Self {
            verdict,
            decided_by,
            at_head: asked.value,
            at_finalized,
            witness: union(parts),
        })
    }
}

fn ask_finalized(
    question: &Question,
    rules: &EvmRules,
    state: &ProvenState,
) -> Result<(AtFinalized, Reads), Stop> {
    match question.ask(state, rules) {
        Ok(outcome) => Ok((AtFinalized::Said(outcome.value), outcome.reads)),
        Err(Stop::Failed(PolicyError::NoCode { .. })) => {
            let contract = question.contract();
            let mut reads = Reads::default();
            reads.accounts.insert(contract, state.account(contract)?);
            Ok((AtFinalized::NoContract, reads))
        }
        Err(stop) => Err(stop),
    }
}

/// Each node and each code once, sorted by hash.
fn union(parts: Vec<Witness>) -> Witness {
    let sorted = |list: Vec<Bytes>| -> Vec<Bytes> {
        let by_hash: BTreeMap<B256, Bytes> =
            list.into_iter().map(|bytes| (keccak256(&bytes), bytes)).collect();
        by_hash.into_values().collect()
    };
    let (mut nodes, mut codes) = (Vec::new(), Vec::new());
    for part in parts {
        nodes.extend(part.nodes);
        codes.extend(part.codes);
    }
    Witness {
        nodes: sorted(nodes),
        codes: sorted(codes),
    }
}
