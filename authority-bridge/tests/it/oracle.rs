//! What the honest chain itself says of every block it ever had, asked by the block's hash while it was there, and when
//! each block was on the chain and at its head. Decisions are held against it.

use alloy::primitives::B256;
use authority_bridge::{BridgeError, Decided, Verdict};
use kms_types::BlockHash;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

/// How long after an honest majority serves a newer head the one before may still be decided over: five seconds for which
/// an endpoint that failed may be left alone, fetching what changed, and a busy machine.
pub const BOUND: Duration = Duration::from_secs(20);

/// An answer about one record at one block: the reason of a denial, empty for an allowance.
pub type Answer = String;

#[derive(Debug)]
struct Block {
    number: u64,
    answers: Vec<Answer>,
    /// When it was not there yet.
    since: Instant,
    /// Last moment at which it could be the head, unless it still is.
    head_until: Option<Instant>,
    /// When it had left the chain.
    gone: Option<Instant>,
}

/// One call of `decide`.
#[derive(Debug)]
pub struct Asked {
    pub task: usize,
    pub record: usize,
    pub began: Instant,
    pub ended: Instant,
    pub result: Result<Decided, BridgeError>,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub steps: u64,
    pub grants: u64,
    pub denials: u64,
    pub not_yet_final: u64,
    pub errors: HashMap<&'static str, u64>,
    pub reorgs: u64,
    pub forks: u64,
    pub revocations: u64,
    pub majority_lost: u64,
}

#[derive(Default)]
pub struct Oracle {
    blocks: HashMap<B256, Block>,
    /// The chain as it is, by height from the first block on.
    chain: Vec<B256>,
    /// When two honest endpoints or more could be reached.
    majority: Vec<(Instant, Option<Instant>)>,
    highest: u64,
    /// Highest finalized block each task was told, and the hash at each height.
    finalized: HashMap<usize, u64>,
    finals: HashMap<u64, BlockHash>,
    denied: HashSet<(usize, BlockHash, BlockHash)>,
    granted: HashSet<(usize, BlockHash, BlockHash)>,
    faulty: HashSet<(usize, BlockHash)>,
    waiting: Vec<Asked>,
    /// When the bridge had last noticed everything that was there at the moment before.
    noticed: Option<(Instant, Instant)>,
    /// Blocks from the head down to the finalized one.
    distance: u64,
    pub counts: Counts,
}

impl Oracle {
    pub fn new(distance: u64) -> Self {
        Self {
            distance,
            ..Self::default()
        }
    }
    pub fn height(&self) -> u64 {
        self.chain.len() as u64 - 1
    }
    pub fn highest(&self) -> u64 {
        self.highest
    }
    pub fn head(&self) -> B256 {
        *self.chain.last().unwrap()
    }
    pub fn has(&self, number: u64, hash: B256) -> bool {
        self.chain.get(usize::try_from(number).unwrap()) == Some(&hash)
    }
    pub fn is_allowed(&self, record: usize) -> bool {
        let head = self.chain.last().map(|head| &self.blocks[head]);
        head.is_some_and(|head| head.answers[record].is_empty())
    }

    /// Notes whether an honest majority can be reached from now on.
    pub fn majority(&mut self, is_up: bool) {
        let now = Instant::now();
        match (self.majority.last_mut(), is_up) {
            (Some((_, end @ None)), false) => {
                *end = Some(now);
                self.counts.majority_lost += 1;
            }
            (Some((_, Some(_))) | None, true) => self.majority.push((now, None)),
            _ => {}
        }
    }

    /// The chain changed between two moments: from height `from` on it now has `new`.
    pub fn changed(&mut self, from: u64, new: Vec<(B256, Vec<Answer>)>, began: Instant, ended: Instant) {
        let from = usize::try_from(from).unwrap();
        let removed = self.chain.split_off(from);
        for hash in removed.iter().chain(self.chain.last()) {
            let block = self.blocks.get_mut(hash).unwrap();
            // The last block that stays may have been the head while others were replaced.
            block.head_until = Some(ended);
        }
        for hash in removed {
            self.blocks.get_mut(&hash).unwrap().gone = Some(ended);
        }
        let count = new.len();
        for (index, (hash, answers)) in new.into_iter().enumerate() {
            let number = self.chain.len() as u64;
            let head_until = (index + 1 < count).then_some(ended);
            // A block that was removed comes back when it is mined again in the same second.
            let since = self.blocks.get(&hash).map_or(began, |old| old.since);
            let block = Block {
                number,
                answers,
                since,
                head_until,
                gone: None,
            };
            self.blocks.insert(hash, block);
            self.chain.push(hash);
        }
        let head = self.head();
        self.blocks.get_mut(&head).unwrap().head_until = None;
        self.highest = self.highest.max(self.height());
    }

    /// Notes that what was there at `there` was noticed at `at`.
    pub fn noticed(&mut self, there: Instant, at: Instant) {
        self.noticed = Some((there, at));
    }

    /// When a bridge must have noticed what was there at `time`, if an honest majority served it long enough.
    fn deadline(&self, time: Instant) -> Option<Instant> {
        self.majority.iter().find_map(|(up, down)| {
            let start = time.max(*up);
            let by = start + BOUND;
            down.is_none_or(|down| down >= by).then_some(by)
        })
    }

    /// Holds what was asked against the chain. What names blocks not recorded yet waits for the next time, but not twice.
    pub fn check(&mut self, asked: Vec<Asked>) -> Result<(), String> {
        let older = std::mem::take(&mut self.waiting);
        for (again, asked) in older
            .into_iter()
            .map(|asked| (true, asked))
            .chain(asked.into_iter().map(|asked| (false, asked)))
        {
            match &asked.result {
                Ok(decided) => {
                    let known = |hash: BlockHash| self.blocks.contains_key(&B256::new(hash.to_bytes()));
                    if known(decided.head.hash) && known(decided.finalized.hash) {
                        let decided = decided.clone();
                        self.decision(&asked, &decided)
                            .map_err(|what| format!("{what}: {asked:?}"))?;
                    } else if again {
                        return Err(format!("I1: names a block the chain never had: {asked:?}"));
                    } else {
                        self.waiting.push(asked);
                    }
                }
                Err(error) => {
                    *self.counts.errors.entry(error.code()).or_default() += 1;
                    match error {
                        BridgeError::Contract { block, .. } => {
                            self.faulty.insert((asked.record, block.hash));
                        }
                        BridgeError::Disagreement { .. } => return Err(format!("halted: {error}")),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn decision(&mut self, asked: &Asked, decided: &Decided) -> Result<(), String> {
        let hash = |block: kms_types::ProvenBlock| B256::new(block.hash.to_bytes());
        let (head, finalized) = (
            &self.blocks[&hash(decided.head)],
            &self.blocks[&hash(decided.finalized)],
        );
        let (now, then) = (&head.answers[asked.record], &finalized.answers[asked.record]);
        let said = match &decided.verdict {
            Verdict::Allowed => String::new(),
            Verdict::Denied { reason } => reason.clone(),
        };
        let wanted = match (now.is_empty(), then.is_empty()) {
            (false, _) => now.clone(),
            (true, true) => String::new(),
            (true, false) => format!("not_yet_final: {then}"),
        };
        // I1: what is granted was allowed at both blocks, and a denial has the chain's reason.
        if said != wanted {
            return Err(format!("I1: expected {wanted:?}, got {said:?}"));
        }
        if head.since > asked.ended || finalized.since > asked.ended {
            return Err("I1: names a block that was not there yet".to_owned());
        }
        if finalized.gone.is_some() || finalized.number + self.distance > self.highest {
            return Err(format!(
                "I1: finalized block {} was not final at height {}",
                finalized.number, self.highest
            ));
        }
        // I1, I2: a block that left the chain, or a newer head, is noticed within the bound.
        for (what, time) in [
            ("left the chain", head.gone),
            ("was not the head any more", head.head_until),
        ] {
            let late = time
                .and_then(|time| self.deadline(time))
                .filter(|by| asked.began > *by);
            if let Some(by) = late {
                return Err(format!(
                    "I2: head {} {what}, {:?} after the bound",
                    head.number,
                    asked.began - by
                ));
            }
        }
        // I2: what was noticed once stays noticed.
        if let (Some((there, at)), Some(until)) = (self.noticed, head.head_until)
            && until < there
            && asked.began > at
        {
            return Err(format!(
                "I2: went back to head {}, which a newer one had replaced",
                head.number
            ));
        }
        self.order(asked, decided)?;
        match said.is_empty() {
            true => self.counts.grants += 1,
            false => {
                self.counts.denials += 1;
                self.counts.not_yet_final += u64::from(said.starts_with("not_yet_final"));
            }
        }
        Ok(())
    }

    fn order(&mut self, asked: &Asked, decided: &Decided) -> Result<(), String> {
        // I3: finalized never goes back, and has one hash at one height.
        let number = decided.finalized.number;
        let before = self.finalized.insert(asked.task, number).unwrap_or_default();
        let hash = *self.finals.entry(number).or_insert(decided.finalized.hash);
        if number < before || hash != decided.finalized.hash {
            return Err(format!("I3: finalized went from {before} to {number}"));
        }
        // I4: asking again over the same blocks does not turn a denial or a fault into an allowance.
        let key = (asked.record, decided.head.hash, decided.finalized.hash);
        let faulty = [key.1, key.2]
            .iter()
            .any(|hash| self.faulty.contains(&(key.0, *hash)));
        let (same, other) = match decided.is_allowed() {
            true => (&mut self.granted, &self.denied),
            false => (&mut self.denied, &self.granted),
        };
        if other.contains(&key) || decided.is_allowed() && faulty {
            return Err("I4: another answer over the same blocks".to_owned());
        }
        same.insert(key);
        Ok(())
    }
}
