//! What the bridge knows of the chain, for readiness, metrics and people.

use kms_types::{BlockRef, ProvenBlock};

/// State of the chain follower. Changes with every new head and whenever a step fails or recovers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainStatus {
    /// Newest head decisions rest on.
    pub head: Option<ProvenBlock>,
    /// Finalized block decisions rest on.
    pub finalized: Option<ProvenBlock>,
    /// Whether the last attempt to follow the chain succeeded.
    pub connected: bool,
    /// Whether new heads are announced over WebSocket by so many endpoints that an honest one is among them; else they are
    /// polled for.
    pub subscribed: bool,
    /// Whether following has stopped for good because the chain contradicted a final block.
    pub halted: bool,
    /// What is wrong with the height floor while it is kept nevertheless.
    pub floor_degraded: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Every endpoint, in the order of the configuration.
    pub endpoints: Vec<EndpointStatus>,
    /// Reorganisations seen.
    pub reorgs: u64,
    /// Blocks the deepest of them removed.
    pub deepest_reorg: u64,
    /// Accounts and slots kept proven at the head.
    pub proven: (usize, usize),
}

impl ChainStatus {
    /// What is wrong while decisions go on: single endpoints, each by name, and the height floor.
    pub fn troubles(&self) -> Vec<String> {
        let trouble = |endpoint: &EndpointStatus| {
            let name = &endpoint.name;
            match (&endpoint.last_error, endpoint.healthy && endpoint.agrees) {
                (Some(error), _) => Some(error.clone()),
                (None, false) if endpoint.healthy => Some(format!("{name}: its chain is not the agreed one")),
                (None, false) => Some(format!("{name}: did not answer yet")),
                (None, true) => None,
            }
        };
        let of_endpoints = self.endpoints.iter().filter_map(trouble);
        of_endpoints.chain(self.floor_degraded.clone()).collect()
    }

    /// Takes what is known of the endpoints now, and keeps who announces; whether anything changed.
    pub(crate) fn note(&mut self, mut endpoints: Vec<EndpointStatus>) -> bool {
        for (new, old) in endpoints.iter_mut().zip(&self.endpoints) {
            new.subscribed = old.subscribed;
        }
        let old = std::mem::replace(&mut self.endpoints, endpoints);
        old != self.endpoints
    }
}

/// What one endpoint says and how it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Scheme, host and port.
    pub name: String,
    /// Its head, as it last said.
    pub head: Option<BlockRef>,
    /// Its finalized block, as it last said.
    pub finalized: Option<BlockRef>,
    /// Whether its last answer stands and its chain is the agreed one, as far as it goes.
    pub agrees: bool,
    /// Whether it answered when last asked for headers.
    pub healthy: bool,
    /// Whether its evidence was good when it was last asked for some, as far as that is remembered.
    pub proves: bool,
    /// What was last wrong with it, until it does well again or a minute has passed.
    pub last_error: Option<String>,
    /// Whether it announces new heads.
    pub subscribed: bool,
    /// Answers it gave that cannot be true.
    pub lies: u64,
}
