//! The two blocks decisions rest on, with what is proven at each. Readers take it without waiting for the follower.

use crate::BridgeError;
use alloy::primitives::{Address, B256};
use authority_policy::{NetworkState, PolicyError, ProvenState, Reads};
use kms_types::ProvenBlock;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

/// One block: what is proven there and what its contract says of the network.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) block: ProvenBlock,
    pub(crate) network: Result<NetworkState, PolicyError>,
    pub(crate) network_reads: Reads,
    state: RwLock<Arc<ProvenState>>,
}

impl View {
    pub(crate) fn new(
        state: Arc<ProvenState>,
        network: Result<NetworkState, PolicyError>,
        reads: Reads,
    ) -> Self {
        Self {
            block: state.header().block(),
            network,
            network_reads: reads,
            state: RwLock::new(state),
        }
    }
    pub(crate) fn hash(&self) -> B256 {
        B256::new(self.block.hash.to_bytes())
    }
    pub(crate) fn state(&self) -> Arc<ProvenState> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Keeps what a decision had to fetch.
    pub(crate) fn absorb(&self, fetched: &ProvenState) -> Result<(), PolicyError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut state).absorb(fetched)
    }
    /// Forgets what nothing needs any more.
    pub(crate) fn retain(&self, keep: &HashMap<Address, HashSet<B256>>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut state).retain(keep);
    }
}

/// Head and finalized block of one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) head: Arc<View>,
    pub(crate) finalized: Arc<View>,
}

/// What the follower last published.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    pub(crate) snapshot: Option<Snapshot>,
    /// Why the follower's last step failed, if it did.
    pub(crate) failure: Option<BridgeError>,
}
