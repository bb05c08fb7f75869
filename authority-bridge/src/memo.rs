//! Decisions already made, each with what it read, so that the next one costs no execution while nothing changed.

use alloy::primitives::{Address, B256};
use authority_policy::{Outcome, Question, Subject, Verdict};
use kms_types::BootRecord;
use lru::LruCache;
use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A verdict at one block.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) block: B256,
    pub(crate) outcome: Arc<Outcome<Verdict>>,
}

/// What is remembered of one record.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) question: Question,
    pub(crate) head: Held,
    pub(crate) finalized: Option<Held>,
    /// Step of the follower at which it was last asked for.
    used: AtomicU64,
}

impl Entry {
    pub(crate) fn new(question: Question, head: Held, finalized: Option<Held>) -> Self {
        Self {
            question,
            head,
            finalized,
            used: AtomicU64::new(0),
        }
    }
}

/// Bounded; the least recently used go first. Keyed by the whole record, so no two records share a verdict.
pub(crate) struct Memo {
    app: Mutex<LruCache<BootRecord, Arc<Entry>>>,
    kms: Mutex<LruCache<BootRecord, Arc<Entry>>>,
    step: AtomicU64,
}

impl Memo {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self {
            app: Mutex::new(LruCache::new(capacity)),
            kms: Mutex::new(LruCache::new(capacity)),
            step: AtomicU64::new(0),
        }
    }

    fn of(&self, subject: Subject) -> MutexGuard<'_, LruCache<BootRecord, Arc<Entry>>> {
        let cache = match subject {
            Subject::App => &self.app,
            Subject::Kms => &self.kms,
        };
        cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, subject: Subject, record: &BootRecord) -> Option<Arc<Entry>> {
        let entry = self.of(subject).get(record).map(Arc::clone)?;
        entry
            .used
            .store(self.step.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(entry)
    }

    pub(crate) fn keep(&self, subject: Subject, record: &BootRecord, entry: Entry) {
        entry
            .used
            .store(self.step.load(Ordering::Relaxed), Ordering::Relaxed);
        self.of(subject).put(record.clone(), Arc::new(entry));
    }

    /// Counts a step of the follower.
    pub(crate) fn step(&self) -> u64 {
        self.step.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds what the decisions asked for last have read, until there is enough of it.
    pub(crate) fn recent(
        &self,
        kept: &mut HashMap<Address, HashSet<B256>>,
        (accounts, slots): (usize, usize),
    ) {
        let mut taken = 0;
        for subject in [Subject::Kms, Subject::App] {
            for (_, entry) in self.of(subject).iter() {
                for held in std::iter::once(&entry.head).chain(&entry.finalized) {
                    taken += held.outcome.reads.slots().count();
                    if taken > slots || kept.len() > accounts {
                        return;
                    }
                    note(kept, &held.outcome.reads);
                }
            }
        }
    }

    /// Drops what was not asked for in the last `steps`, and returns what the rest read.
    pub(crate) fn expire(&self, steps: u64) -> HashMap<Address, HashSet<B256>> {
        let oldest = self.step.load(Ordering::Relaxed).saturating_sub(steps);
        let mut kept: HashMap<Address, HashSet<B256>> = HashMap::new();
        for subject in [Subject::App, Subject::Kms] {
            let mut cache = self.of(subject);
            let old = |entry: &Arc<Entry>| entry.used.load(Ordering::Relaxed) < oldest;
            while cache.peek_lru().is_some_and(|(_, entry)| old(entry)) {
                cache.pop_lru();
            }
            for (_, entry) in cache.iter() {
                for held in std::iter::once(&entry.head).chain(&entry.finalized) {
                    note(&mut kept, &held.outcome.reads);
                }
            }
        }
        kept
    }
}

/// Adds what was read to what is to be kept.
pub(crate) fn note(kept: &mut HashMap<Address, HashSet<B256>>, reads: &authority_policy::Reads) {
    for address in reads.accounts() {
        kept.entry(address).or_default();
    }
    for (address, slot) in reads.slots() {
        kept.entry(address).or_default().insert(slot);
    }
}
