//! Decisions already made, each with what it read, so that the next one costs no execution while nothing changed.

use alloy::primitives::B256;
use authority_policy::{Facts, Outcome, Question, Reads, Subject, Verdict};
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Accounts and slots a remembered decision may have read; our own contracts read about twenty.
pub(crate) const MAX_READS: usize = 192;

/// A verdict at one block.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) block: B256,
    pub(crate) outcome: Arc<Outcome<Verdict>>,
}

/// What is remembered of one question.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) question: Question,
    pub(crate) head: Held,
    pub(crate) finalized: Option<Held>,
}

type Answers = LruCache<Facts, Arc<Entry>>;

/// Bounded; the least recently used go first. Keyed by all the facts, so no two questions share a verdict.
pub(crate) struct Memo {
    app: Mutex<Answers>,
    kms: Mutex<Answers>,
}

impl Memo {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self {
            app: Mutex::new(LruCache::new(capacity)),
            kms: Mutex::new(LruCache::new(capacity)),
        }
    }

    fn of(&self, subject: Subject) -> MutexGuard<'_, Answers> {
        let cache = match subject {
            Subject::App => &self.app,
            Subject::Kms => &self.kms,
        };
        cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, subject: Subject, facts: &Facts) -> Option<Arc<Entry>> {
        self.of(subject).get(facts).map(Arc::clone)
    }

    pub(crate) fn keep(&self, subject: Subject, facts: &Facts, mut entry: Entry) {
        // An app's own contract may read as much as it likes, and every device asks with facts of its own.
        let large = |held: &Held| held.outcome.reads.size() > MAX_READS;
        if large(&entry.head) || entry.finalized.as_ref().is_some_and(large) {
            return;
        }
        // Both blocks mostly say the same for the same reasons.
        if let Some(finalized) = &mut entry.finalized
            && finalized.outcome == entry.head.outcome
        {
            finalized.outcome = Arc::clone(&entry.head.outcome);
        }
        self.of(subject).put(facts.clone(), Arc::new(entry));
    }

    /// What the decisions asked for last have read, until `take` has enough of it.
    pub(crate) fn recent(&self, mut take: impl FnMut(&Reads) -> bool) {
        for subject in [Subject::Kms, Subject::App] {
            // Not under the lock: whoever decides meanwhile would wait for all of it.
            let entries: Vec<Arc<Entry>> = self
                .of(subject)
                .iter()
                .map(|(_, entry)| Arc::clone(entry))
                .collect();
            for entry in entries {
                for held in std::iter::once(&entry.head).chain(&entry.finalized) {
                    if !take(&held.outcome.reads) {
                        return;
                    }
                }
            }
        }
    }
}
