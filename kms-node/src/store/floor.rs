//! Floors that survive a restart: the newest finalized block acted on, and the highest collateral number seen.

/// Floors in the node's database.
#[derive(Debug, Clone)]
pub struct FloorStore {
    store: super::Store,
}
