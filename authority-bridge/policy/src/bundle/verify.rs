//! Checking a decision's evidence: hashes, links, proofs, execution at both blocks, the rule. Every step is told with what
//! was expected and what came. Refused: a decision any part of which does not follow from the file. That the blocks are
//! the chain's, and that the older was final, cannot follow from a file: [`Verified::open`] says so.

use super::{
    ClaimedHeader, DecisionEvidence, Mismatch, Replay,
    error::words,
    steps::{Steps, execution_at, failed, hash_of},
};
use crate::{
    Finality, HardforkRule, PolicyError, ProvenHeader, ProvenState, Question, Stop, TrieNodes, Verdict,
};
use alloy_consensus::Header;
use alloy_primitives::B256;
use kms_types::{BlockHash, ChainAddress, ChainId, ProvenBlock};
use std::sync::Arc;

/// What whoever checks knows from elsewhere. Each part that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Hashes of blocks of the chain, from a source they trust: each must be the head's or the finalized block's.
    pub headers: Vec<B256>,
    /// The chain.
    pub chain_id: Option<ChainId>,
    /// The network's contract.
    pub contract: Option<ChainAddress>,
    /// Rules of the EVM that the network's nodes run calls by.
    pub hardfork: Option<HardforkRule>,
    /// Gas the network's nodes give a call.
    pub gas_limit: Option<u64>,
}

/// How far the hashes given reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// None was given.
    Nothing,
    /// The finalized block's: nothing says that the head is of the same chain.
    Finalized,
    /// The head's, and with it every block before it.
    Head,
}

/// What the contract said at the finalized block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtFinalized {
    /// Not asked, since the head denies.
    NotAsked,
    /// There is no contract there.
    NoContract,
    /// Its answer.
    Said(Verdict),
}

impl AtFinalized {
    pub(crate) const fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::Said(verdict) => Some(verdict),
            Self::NotAsked | Self::NoContract => None,
        }
    }
}

/// One step of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub actual: String,
}

/// Everything that was looked at, up to the first step that does not hold.
#[derive(Debug, Clone)]
pub struct Report {
    /// The steps in order.
    pub checks: Vec<Check>,
    /// The decision that holds, or what does not.
    pub outcome: Result<Verified, Mismatch>,
}

/// A decision that follows from its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Allowed, or denied with the contract's reason.
    pub verdict: Verdict,
    /// Which block decided.
    pub decided_by: Finality,
    /// The head.
    pub head: ProvenBlock,
    /// The finalized block.
    pub finalized: ProvenBlock,
    /// Keccak-256 of the ABI encoding of the facts.
    pub record_hash: BlockHash,
    /// How far the hashes given reach.
    pub anchor: Anchor,
    /// Whether the contract was expected from outside.
    pub contract_expected: bool,
    /// Whether the chain id was expected from outside.
    pub chain_expected: bool,
    /// Whether the hardfork was expected from outside.
    pub hardfork_expected: bool,
    /// Whether the gas limit was expected from outside.
    pub gas_expected: bool,
}

impl Verified {
    /// What the file cannot show and is left to whoever checks.
    pub fn open(&self) -> Vec<String> {
        let (head, finalized) = (self.head.block_ref(), self.finalized.block_ref());
        let mut open = Vec::new();
        match self.anchor {
            Anchor::Nothing => open.push(format!(
                "that block {head} is on the chain: compare its hash with a source you trust, or give the hash with --header"
            )),
            Anchor::Finalized => open.push(format!(
                "that head {head} followed finalized block {finalized} on the chain: compare the head's hash with a source you \
                 trust, or give it with --header"
            )),
            Anchor::Head => {}
        }
        open.push(format!(
            "that block {finalized} was final when this was decided, and that no newer block was known: only the chain's own \
             record of finality shows it"
        ));
        if !self.contract_expected {
            open.push(
                "that the contract is your network's: compare its address, or give it with --contract"
                    .to_owned(),
            );
        }
        if !self.chain_expected {
            open.push(
                "that the chain id is your network's: compare it, or give it with --chain-id".to_owned(),
            );
        }
        for (expected, what, option) in [
            (self.hardfork_expected, "hardfork rule", "--hardfork"),
            (self.gas_expected, "gas limit", "--gas-limit"),
        ] {
            if !expected {
                open.push(format!(
                    "that the {what} is the one your network's nodes run calls by: compare it, or give it with {option}"
                ));
            }
        }
        open
    }
}

impl DecisionEvidence {
    /// Checks everything that can be checked without asking anyone.
    pub fn check(&self, expected: &Expected) -> Report {
        let mut steps = Steps(Vec::new());
        let outcome = self.verify(expected, &mut steps);
        if let Err(mismatch) = &outcome {
            steps.0.push(failed(mismatch));
        }
        Report {
            checks: steps.0,
            outcome,
        }
    }

    fn verify(&self, expected: &Expected, steps: &mut Steps) -> Result<Verified, Mismatch> {
        self.claims(expected, steps)?;
        let question = Question::new(self.contract, self.subject, &self.facts);
        let record_hash = question.record_hash();
        if record_hash != self.record_hash {
            return Err(Mismatch::Record {
                expected: self.record_hash,
                actual: record_hash,
            });
        }
        steps.same("record hash", record_hash);
        let head = hashed(Finality::Head, &self.head, steps)?;
        let finalized = hashed(Finality::Finalized, &self.finalized, steps)?;
        self.linked(&head, &finalized, steps)?;
        let anchor = anchored(expected, &head, &finalized, steps)?;
        let (head_block, finalized_block) = (head.block(), finalized.block());
        let replayed = self.replayed(&question, head, finalized, steps)?;
        self.decided(&replayed, steps)?;
        Ok(Verified {
            verdict: replayed.verdict,
            decided_by: replayed.decided_by,
            head: head_block,
            finalized: finalized_block,
            record_hash,
            anchor,
            contract_expected: expected.contract.is_some(),
            chain_expected: expected.chain_id.is_some(),
            hardfork_expected: expected.hardfork.is_some(),
            gas_expected: expected.gas_limit.is_some(),
        })
    }

    fn claims(&self, expected: &Expected, steps: &mut Steps) -> Result<(), Mismatch> {
        let actual = ChainId(self.rules.chain_id);
        if let Some(expected) = expected.chain_id {
            if expected != actual {
                return Err(Mismatch::Chain { expected, actual });
            }
            steps.same("chain id", expected);
        }
        let actual = self.contract;
        if let Some(expected) = expected.contract {
            if expected != actual {
                return Err(Mismatch::Contract { expected, actual });
            }
            steps.same("contract", expected);
        }
        // C4: whoever chooses the rules chooses the answer: too little gas ends a call inside the contract where it is
        // caught, and another fork gives an instruction another meaning.
        let actual = self.rules.hardfork;
        if let Some(expected) = expected.hardfork {
            if expected != actual {
                return Err(Mismatch::Hardfork { expected, actual });
            }
            steps.same("hardfork", format!("{expected:?}"));
        }
        let actual = self.rules.gas_limit;
        if let Some(expected) = expected.gas_limit {
            if expected != actual {
                return Err(Mismatch::GasLimit { expected, actual });
            }
            steps.same("gas limit", expected);
        }
        Ok(())
    }

    /// C2: each header names the hash of the one before it, so that the head's hash stands for all of them.
    fn linked(
        &self,
        head: &ProvenHeader,
        finalized: &ProvenHeader,
        steps: &mut Steps,
    ) -> Result<(), Mismatch> {
        let link = |fields: &Header, before: B256, height: u64| Mismatch::Link {
            number: fields.number,
            expected_number: height,
            expected: before,
            actual: fields.parent_hash,
        };
        if head.hash() == finalized.hash() && self.links.is_empty() {
            steps.ok("links", "head and finalized block are one", "the same hash");
            return Ok(());
        }
        let (mut before, mut height) = (finalized.hash(), finalized.number());
        for fields in self.links.iter().chain([head.fields()]) {
            height = height.saturating_add(1);
            if fields.parent_hash != before || fields.number != height {
                return Err(link(fields, before, height));
            }
            before = fields.hash_slow();
        }
        let count = self.links.len().saturating_add(1);
        steps.ok(
            "links",
            format!("headers {} to {} in a row", finalized.number(), head.number()),
            format!("{count} parent hashes lead there"),
        );
        Ok(())
    }

    /// C3: the contract runs over nothing but what the file's nodes prove under the two state roots.
    fn replayed(
        &self,
        question: &Question,
        head: ProvenHeader,
        finalized: ProvenHeader,
        steps: &mut Steps,
    ) -> Result<Replay, Mismatch> {
        let no_answer = |fault| Mismatch::NoAnswer {
            at: Finality::Head,
            fault: Box::new(fault),
        };
        let nodes = Arc::new(TrieNodes::of(&self.witness).map_err(no_answer)?);
        let head = ProvenState::new(head, Arc::clone(&nodes));
        let finalized = ProvenState::new(finalized, nodes);
        let replayed = match Replay::run(question, &self.rules, &head, &finalized) {
            Ok(replayed) => replayed,
            Err(stop) => return Err(self.stopped(question, &head, stop)),
        };
        let (ours, theirs) = (&replayed.witness, &self.witness);
        if ours != theirs {
            return Err(Mismatch::Surplus {
                expected_nodes: ours.nodes.len(),
                expected_codes: ours.codes.len(),
                nodes: theirs.nodes.len(),
                codes: theirs.codes.len(),
            });
        }
        steps.ok(
            "state proofs",
            "every account, slot and code that is read leads to a state root",
            format!("{} nodes, {} contracts", ours.nodes.len(), ours.codes.len()),
        );
        steps.ok(
            "execution at head",
            "an answer of the contract",
            words(&replayed.at_head),
        );
        let at_finalized = match &replayed.at_finalized {
            AtFinalized::NotAsked => ("not needed: the head denies", "not run".to_owned()),
            AtFinalized::NoContract => (
                "an answer, or proof that there is no contract",
                "no contract".to_owned(),
            ),
            AtFinalized::Said(verdict) => ("an answer of the contract", words(verdict)),
        };
        steps.ok(execution_at(Finality::Finalized), at_finalized.0, at_finalized.1);
        Ok(replayed)
    }

    /// Which of the two blocks stopped it.
    fn stopped(&self, question: &Question, head: &ProvenState, stop: Stop) -> Mismatch {
        let at = match question.ask(head, &self.rules) {
            Ok(_) => Finality::Finalized,
            Err(_) => Finality::Head,
        };
        match stop {
            Stop::Missing(missing) => Mismatch::NotProven { at, missing },
            Stop::Failed(fault) => Mismatch::NoAnswer {
                at,
                fault: Box::new(fault),
            },
        }
    }

    // C4: the verdict of the file must be what the rule makes of both executions.
    fn decided(&self, replayed: &Replay, steps: &mut Steps) -> Result<(), Mismatch> {
        if replayed.verdict != self.verdict {
            return Err(Mismatch::OtherVerdict {
                expected: self.verdict.clone(),
                actual: replayed.verdict.clone(),
            });
        }
        if replayed.decided_by != self.decided_by {
            return Err(Mismatch::OtherBlock {
                expected: self.decided_by,
                actual: replayed.decided_by,
            });
        }
        let decided = format!("{}, by the {} block", words(&self.verdict), self.decided_by);
        steps.same("decision", decided);
        Ok(())
    }
}

/// C2: the fields must have the hash that is compared with the chain.
fn hashed(which: Finality, claimed: &ClaimedHeader, steps: &mut Steps) -> Result<ProvenHeader, Mismatch> {
    let header = ProvenHeader::new(claimed.fields.clone(), claimed.hash).map_err(|fault| match fault {
        PolicyError::HeaderHash { expected, actual, .. } => Mismatch::HeaderHash {
            which,
            expected,
            actual,
        },
        fault => Mismatch::NoAnswer {
            at: which,
            fault: Box::new(fault),
        },
    })?;
    steps.same(hash_of(which), claimed.hash);
    Ok(header)
}

fn anchored(
    expected: &Expected,
    head: &ProvenHeader,
    finalized: &ProvenHeader,
    steps: &mut Steps,
) -> Result<Anchor, Mismatch> {
    let mut anchor = Anchor::Nothing;
    for given in &expected.headers {
        // C2: only a hash from outside ties the file to a chain.
        let reaches = if *given == head.hash() {
            Anchor::Head
        } else if *given == finalized.hash() {
            Anchor::Finalized
        } else {
            return Err(Mismatch::OtherHeader {
                given: *given,
                head: head.hash(),
                finalized: finalized.hash(),
            });
        };
        let is = match reaches {
            Anchor::Head => "the head",
            _ => "the finalized block",
        };
        steps.ok("header given", given.to_string(), is);
        if anchor != Anchor::Head {
            anchor = reaches;
        }
    }
    Ok(anchor)
}
