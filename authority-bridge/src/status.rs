//! What the bridge knows of the chain, for readiness, metrics and people.

use kms_types::ProvenBlock;

/// State of the chain follower. Changes with every new head and whenever a step fails or recovers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainStatus {
    /// Newest head decisions rest on.
    pub head: Option<ProvenBlock>,
    /// Finalized block decisions rest on.
    pub finalized: Option<ProvenBlock>,
    /// Whether the last attempt to follow the chain succeeded.
    pub connected: bool,
    /// Whether new heads are announced over WebSocket; else they are polled for.
    pub subscribed: bool,
    /// Whether following has stopped for good because the chain contradicted a final block.
    pub halted: bool,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Reorganisations seen.
    pub reorgs: u64,
    /// Blocks the deepest of them removed.
    pub deepest_reorg: u64,
    /// Accounts and slots kept proven at the head.
    pub proven: (usize, usize),
}
