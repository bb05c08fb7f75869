//! The two blocks decisions rest on, with what is proven at each. Readers take it without waiting for the follower.

use crate::BridgeError;
use alloy::primitives::B256;
use authority_policy::{NetworkState, PolicyError, ProvenState, Reads};
use kms_types::ProvenBlock;
use std::sync::Arc;

/// One block: what is proven there and what its contract says of the network.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) block: ProvenBlock,
    pub(crate) state: ProvenState,
    pub(crate) network: Result<NetworkState, PolicyError>,
    pub(crate) network_reads: Reads,
}

impl View {
    pub(crate) fn hash(&self) -> B256 {
        B256::new(self.block.hash.to_bytes())
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
