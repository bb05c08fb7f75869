//! Places for open connections: so many in all, so many for one peer. Refuses what is above either.

use crate::limits::subscriber;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of a listener.
pub(super) struct Slots {
    total: usize,
    free: Arc<Semaphore>,
    per_peer: usize,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    gauge: metrics::Gauge,
}

/// One place, free again when dropped.
pub(super) struct Slot {
    _total: OwnedSemaphorePermit,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    peer: IpAddr,
    gauge: metrics::Gauge,
}

fn lock(peers: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    peers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slots {
    pub(super) fn new(total: usize, per_peer: usize, gauge: metrics::Gauge) -> Self {
        Self {
            total,
            free: Arc::new(Semaphore::new(total)),
            per_peer,
            peers: Arc::default(),
            gauge,
        }
    }

    /// A place for a connection of this address, if there is one.
    pub(super) fn take(&self, address: IpAddr) -> Option<Slot> {
        let total = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let peer = subscriber(address);
        {
            let mut peers = lock(&self.peers);
            let open = peers.entry(peer).or_default();
            // K6: one peer must not take the places of all others. The map is no larger than `total`.
            if *open >= self.per_peer {
                return None;
            }
            *open += 1;
        }
        self.gauge.increment(1.0);
        Some(Slot {
            _total: total,
            peers: Arc::clone(&self.peers),
            peer,
            gauge: self.gauge.clone(),
        })
    }

    /// Returns once every place is free.
    pub(super) async fn all_free(&self) {
        let all = u32::try_from(self.total).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
        let mut peers = lock(&self.peers);
        if let Some(open) = peers.get_mut(&self.peer) {
            *open -= 1;
            if *open == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k6_one_peer_does_not_take_every_place() {
        let slots = Slots::new(4, 2, metrics::Gauge::noop());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = slots.take(ip("2001:db8::1")).unwrap();
        let _second = slots.take(ip("2001:db8::2")).unwrap();
        assert!(slots.take(ip("2001:db8::3")).is_none(), "same /64");
        let _other = slots.take(ip("192.0.2.1")).unwrap();
        drop(first);
        let _again = slots.take(ip("2001:db8::3")).unwrap();
        let _last = slots.take(ip("192.0.2.2")).unwrap();
        assert!(slots.take(ip("192.0.2.3")).is_none(), "all taken");
    }

    #[test]
    fn peers_without_connections_are_forgotten() {
        let slots = Slots::new(4, 2, metrics::Gauge::noop());
        drop(slots.take("192.0.2.1".parse().unwrap()));
        assert!(lock(&slots.peers).is_empty() && slots.free.available_permits() == 4);
    }
}
