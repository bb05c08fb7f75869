//! The cache in memory: one entry a platform family and CA, one fetch at a time for each.

use super::{CollateralError, CollateralKey, disk::Disk, pcs::PcsClient};
use crate::store::FloorStore;
use attestation::Collateral;
use kms_types::UnixTime;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{Mutex as AsyncMutex, watch};

/// Platform families held at once. A fleet has a handful; a forged quote can name any.
const MAX_ENTRIES: usize = 64;
/// After a failed fetch the next waits this long.
const RETRY_AFTER_S: u64 = 5;

/// Collateral to verify with, newest first. When verification fails with a candidate, the confirmed one is tried too.
#[derive(Debug, Clone)]
pub struct Served {
    /// Fetched or loaded, with no quote verified by it yet.
    pub candidate: Option<Arc<Collateral>>,
    /// A quote was verified with it.
    pub confirmed: Option<Arc<Collateral>>,
}

#[derive(Debug, Default)]
struct Entry {
    candidate: Option<Arc<Collateral>>,
    confirmed: Option<Arc<Collateral>>,
    fetched_at: Option<UnixTime>,
    failed: Option<(UnixTime, CollateralError)>,
    floor: u32,
}

#[derive(Debug, Default)]
struct Slot {
    entry: Mutex<Entry>,
    /// Held by the one who fetches.
    fetching: AsyncMutex<()>,
}

/// Serves collateral.
#[derive(Debug)]
pub struct CollateralCache {
    client: PcsClient,
    disk: Option<Disk>,
    floors: FloorStore,
    refresh_before: u64,
    refresh_every: u64,
    slots: Mutex<HashMap<CollateralKey, Arc<Slot>>>,
    changes: watch::Sender<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CollateralCache {
    /// A cache over `client`, with confirmed collateral kept in `folder` unless that is empty.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(
        client: PcsClient,
        folder: &Path,
        floors: FloorStore,
        refresh_before_s: u64,
        refresh_every_s: u64,
    ) -> std::io::Result<Self> {
        Ok(Self {
            client,
            disk: Disk::open(folder)?,
            floors,
            refresh_before: refresh_before_s,
            refresh_every: refresh_every_s,
            slots: Mutex::new(HashMap::new()),
            changes: watch::channel(0).0,
        })
    }

    /// Counts confirmed changes of collateral.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Collateral valid at `now`. Waits for the service only when there is none; a due refresh runs beside.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn get(self: &Arc<Self>, key: CollateralKey, now: UnixTime) -> Result<Served, CollateralError> {
        let slot = self.slot(key).await?;
        if let Some(served) = lock(&slot.entry).served(now) {
            if lock(&slot.entry).refresh_due(now, self.refresh_before, self.refresh_every) {
                self.refresh_beside(key, slot, now);
            }
            return Ok(served);
        }
        let _turn = slot.fetching.lock().await;
        if let Some(served) = lock(&slot.entry).served(now) {
            return Ok(served);
        }
        if let Some(error) = lock(&slot.entry).recent_failure(now) {
            return Err(error);
        }
        self.fetch(key, &slot, now).await?;
        // What was fetched is valid at `now`, so this is only reached with something to serve.
        lock(&slot.entry)
            .served(now)
            .ok_or_else(|| CollateralError::Expired { key: key.to_string(), now, ended: now })
    }

    /// Tells that a quote was verified with this collateral. Raises the floor, writes to disk.
    ///
    /// # Errors
    /// When the floor cannot be kept: then the answer must not depend on this collateral.
    pub async fn confirm(&self, key: CollateralKey, used: &Arc<Collateral>) -> Result<(), CollateralError> {
        let Some(slot) = lock(&self.slots).get(&key).cloned() else { return Ok(()) };
        {
            let mut entry = lock(&slot.entry);
            if entry.confirmed.as_ref().is_some_and(|confirmed| confirmed.id() == used.id()) {
                if entry.candidate.as_ref().is_some_and(|candidate| candidate.id() == used.id()) {
                    entry.candidate = None;
                }
                return Ok(());
            }
        }
        // Q3: the floor is on disk before anything is released under it, so a restart cannot bring old collateral back.
        let number = used.tcb_evaluation_data_number();
        self.floors
            .raise_collateral(&key.fmspc, number)
            .await
            .map_err(|error| CollateralError::Floor(Arc::new(error)))?;
        {
            let mut entry = lock(&slot.entry);
            entry.floor = entry.floor.max(number);
            entry.confirmed = Some(Arc::clone(used));
            if entry.candidate.as_ref().is_some_and(|candidate| candidate.id() == used.id()) {
                entry.candidate = None;
            }
        }
        self.changes.send_modify(|count| *count += 1);
        if let Some(disk) = self.disk.clone() {
            let used = Arc::clone(used);
            let written = tokio::task::spawn_blocking(move || disk.save(&key, &used)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%key, %error, "collateral is not on disk");
            }
        }
        Ok(())
    }

    /// Tells that a quote was verified with the confirmed collateral and not with this candidate: the candidate is bad.
    pub fn reject(&self, key: CollateralKey, candidate: &Arc<Collateral>) {
        let Some(slot) = lock(&self.slots).get(&key).cloned() else { return };
        let mut entry = lock(&slot.entry);
        if entry.candidate.as_ref().is_some_and(|held| held.id() == candidate.id()) {
            tracing::warn!(%key, "fetched collateral verifies nothing; keeping the one before");
            entry.candidate = None;
        }
    }

    async fn slot(&self, key: CollateralKey) -> Result<Arc<Slot>, CollateralError> {
        if let Some(slot) = lock(&self.slots).get(&key) {
            return Ok(Arc::clone(slot));
        }
        let floor = self
            .floors
            .collateral(&key.fmspc)
            .await
            .map_err(|error| CollateralError::Floor(Arc::new(error)))?;
        let candidate = match self.disk.clone() {
            Some(disk) => tokio::task::spawn_blocking(move || disk.load(&key)).await.ok().flatten(),
            None => None,
        };
        let entry = Entry {
            candidate: candidate.filter(|held| held.tcb_evaluation_data_number() >= floor).map(Arc::new),
            floor,
            ..Entry::default()
        };
        let mut slots = lock(&self.slots);
        // K6: quotes are not verified yet when they name a platform; what they name must not fill the memory.
        if slots.len() >= MAX_ENTRIES {
            slots.retain(|_, slot| lock(&slot.entry).confirmed.is_some());
        }
        if slots.len() >= MAX_ENTRIES {
            return Err(CollateralError::Crowded { limit: MAX_ENTRIES });
        }
        let fresh = || Arc::new(Slot { entry: Mutex::new(entry), fetching: AsyncMutex::new(()) });
        Ok(Arc::clone(slots.entry(key).or_insert_with(fresh)))
    }

    fn refresh_beside(self: &Arc<Self>, key: CollateralKey, slot: Arc<Slot>, now: UnixTime) {
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(_turn) = slot.fetching.try_lock() else { return };
            if let Err(error) = cache.fetch(key, &slot, now).await {
                tracing::warn!(%key, %error, "collateral is not refreshed; using the one before until it ends");
            }
        });
    }

    async fn fetch(&self, key: CollateralKey, slot: &Slot, now: UnixTime) -> Result<(), CollateralError> {
        let fetched = self.client.fetch(&key).await.and_then(|collateral| {
            let (floor, actual) = (lock(&slot.entry).floor, collateral.tcb_evaluation_data_number());
            let ended = collateral.valid_until();
            // Q3: a service, or who stands before it, must not lead the node back to an older TCB baseline.
            if actual < floor {
                return Err(CollateralError::Rollback { key: key.to_string(), floor, actual });
            }
            if ended <= now {
                return Err(CollateralError::Expired { key: key.to_string(), now, ended });
            }
            Ok(Arc::new(collateral))
        });
        let mut entry = lock(&slot.entry);
        match fetched {
            Ok(collateral) => {
                entry.fetched_at = Some(now);
                entry.failed = None;
                let known = entry.confirmed.as_ref().is_some_and(|held| held.id() == collateral.id());
                entry.candidate = (!known).then_some(collateral);
                Ok(())
            }
            Err(error) => {
                entry.failed = Some((now, error.clone()));
                Err(error)
            }
        }
    }
}

impl Entry {
    fn served(&self, now: UnixTime) -> Option<Served> {
        let valid = |held: &Option<Arc<Collateral>>| held.clone().filter(|held| held.valid_until() > now);
        let served = Served { candidate: valid(&self.candidate), confirmed: valid(&self.confirmed) };
        (served.candidate.is_some() || served.confirmed.is_some()).then_some(served)
    }

    fn refresh_due(&self, now: UnixTime, before: u64, every: u64) -> bool {
        if self.recent_failure(now).is_some() {
            return false;
        }
        // What was loaded from disk has no fetch time: it is due at once.
        let Some(fetched_at) = self.fetched_at else { return true };
        let since = now.0.saturating_sub(fetched_at.0);
        let ends = [&self.candidate, &self.confirmed].into_iter().flatten().map(|held| held.valid_until()).max();
        let close = ends.is_some_and(|end| end.0.saturating_sub(now.0) < before);
        since >= every || (close && since >= every.min(60))
    }

    fn recent_failure(&self, now: UnixTime) -> Option<CollateralError> {
        let (at, error) = self.failed.as_ref()?;
        (now.0.saturating_sub(at.0) < RETRY_AFTER_S).then(|| error.clone())
    }
}
