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

#[derive(Debug, Default)]
struct Entry {
    /// The newest that was had. A refused quote never brings an older one back: the newer may be what revokes it.
    current: Option<Arc<Collateral>>,
    /// Id of the last with which a quote was verified.
    confirmed: Option<[u8; 32]>,
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

    /// Counts what was fetched and differs from what was held, for platform families that had a verified quote.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Platform families held.
    pub fn len(&self) -> usize {
        lock(&self.slots).len()
    }

    /// True when none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Collateral valid at `now`. Waits for the service only when there is none; a due refresh runs beside.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn get(
        self: &Arc<Self>,
        key: CollateralKey,
        now: UnixTime,
    ) -> Result<Arc<Collateral>, CollateralError> {
        let slot = self.slot(key).await?;
        let held = lock(&slot.entry).held(now, self.refresh_before, self.refresh_every);
        if let Some((served, refresh)) = held {
            if refresh {
                self.refresh_beside(key, slot, now);
            }
            return Ok(served);
        }
        let _turn = slot.fetching.lock().await;
        let (served, failed) = {
            let entry = lock(&slot.entry);
            (entry.served(now), entry.recent_failure(now))
        };
        if let Some(served) = served {
            return Ok(served);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.fetch(key, &slot, now).await?;
        // What was fetched is valid at `now`, so this is only reached with something to serve.
        lock(&slot.entry)
            .served(now)
            .ok_or_else(|| CollateralError::Expired {
                key: key.to_string(),
                now,
                ended: now,
            })
    }

    /// Tells that a quote was verified with this collateral. Raises the floor, writes to disk.
    ///
    /// # Errors
    /// When the floor cannot be kept: then the answer must not depend on this collateral.
    pub async fn confirm(&self, key: CollateralKey, used: &Arc<Collateral>) -> Result<(), CollateralError> {
        let held = lock(&self.slots).get(&key).cloned();
        // It was raised before this was noted.
        if held.is_some_and(|slot| lock(&slot.entry).confirmed == Some(used.id())) {
            return Ok(());
        }
        // Q3: the floor is on disk before anything is released under it, so a restart cannot bring old collateral back.
        let number = used.tcb_evaluation_data_number();
        self.floors
            .raise_collateral(&key.fmspc, number)
            .await
            .map_err(|error| CollateralError::Floor(Arc::new(error)))?;
        // Quotes that are not verified may have pushed the slot out meanwhile, and another may stand in its place.
        let held = lock(&self.slots).get(&key).cloned();
        if let Some(slot) = held {
            let mut entry = lock(&slot.entry);
            entry.floor = entry.floor.max(number);
            let is_first = entry.confirmed.replace(used.id()).is_none();
            let held = entry.current.as_ref().map(|held| held.id());
            // What was fetched before the first confirmation told nobody.
            if is_first && held != Some(used.id()) {
                self.changes.send_modify(|count| *count += 1);
            }
        }
        if let Some(disk) = self.disk.clone() {
            let used = Arc::clone(used);
            let written = tokio::task::spawn_blocking(move || disk.save(&key, &used)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%key, %error, "collateral is not on disk");
            }
        }
        Ok(())
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
        let loaded = match self.disk.clone() {
            Some(disk) => tokio::task::spawn_blocking(move || disk.load(&key))
                .await
                .ok()
                .flatten(),
            None => None,
        };
        let entry = Entry {
            current: loaded
                .filter(|held| held.tcb_evaluation_data_number() >= floor)
                .map(Arc::new),
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
        let fresh = || {
            Arc::new(Slot {
                entry: Mutex::new(entry),
                fetching: AsyncMutex::new(()),
            })
        };
        Ok(Arc::clone(slots.entry(key).or_insert_with(fresh)))
    }

    fn refresh_beside(self: &Arc<Self>, key: CollateralKey, slot: Arc<Slot>, now: UnixTime) {
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(_turn) = slot.fetching.try_lock() else {
                return;
            };
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
                return Err(CollateralError::Rollback {
                    key: key.to_string(),
                    floor,
                    actual,
                });
            }
            if ended <= now {
                return Err(CollateralError::Expired {
                    key: key.to_string(),
                    now,
                    ended,
                });
            }
            Ok(Arc::new(collateral))
        });
        let mut entry = lock(&slot.entry);
        match fetched {
            Ok(collateral) => {
                entry.fetched_at = Some(now);
                entry.failed = None;
                let held = entry.current.as_ref().map(|held| held.id());
                let is_news = held != Some(collateral.id());
                entry.current = Some(collateral);
                // Q2: collateral that revokes a platform verifies no quote of it, so none confirms it: it must be told now.
                // K6: families without a verified quote are whatever a forged quote named; those tell nobody.
                if is_news && entry.confirmed.is_some() {
                    self.changes.send_modify(|count| *count += 1);
                }
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
    /// What is held, and whether it should be fetched anew.
    fn held(&self, now: UnixTime, before: u64, every: u64) -> Option<(Arc<Collateral>, bool)> {
        self.served(now)
            .map(|served| (served, self.refresh_due(now, before, every)))
    }

    fn served(&self, now: UnixTime) -> Option<Arc<Collateral>> {
        self.current.clone().filter(|held| held.valid_until() > now)
    }

    fn refresh_due(&self, now: UnixTime, before: u64, every: u64) -> bool {
        if self.recent_failure(now).is_some() {
            return false;
        }
        // What was loaded from disk has no fetch time: it is due at once.
        let Some(fetched_at) = self.fetched_at else {
            return true;
        };
        let since = now.0.saturating_sub(fetched_at.0);
        let close = self
            .current
            .as_ref()
            .is_some_and(|held| held.valid_until().0.saturating_sub(now.0) < before);
        since >= every || (close && since >= every.min(60))
    }

    fn recent_failure(&self, now: UnixTime) -> Option<CollateralError> {
        let (at, error) = self.failed.as_ref()?;
        (now.0.saturating_sub(at.0) < RETRY_AFTER_S).then(|| error.clone())
    }
}
