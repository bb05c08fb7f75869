//! What a bridge needs to know before it starts. Everything else it reads from the chain.

use alloy::primitives::Address;
use authority_policy::{EvmRules, HardforkRule};
use kms_types::{ChainAddress, ChainId};
use std::time::Duration;
use url::Url;

/// Which chain, which contract, through which endpoint, within which bounds.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Chain the contract lives on; an endpoint of another chain is refused.
    pub chain_id: ChainId,
    /// The network's `KmsAuthority`.
    pub contract: ChainAddress,
    /// JSON-RPC endpoint.
    pub http: Url,
    /// WebSocket endpoint that announces new heads; without it the head is polled for.
    pub ws: Option<Url>,
    /// Oldest head a decision may rest on, in seconds.
    pub max_head_age_s: u64,
    /// How far a head's time may be ahead of this machine's clock, in seconds.
    pub max_clock_skew_s: u64,
    /// Longest any one request may take.
    pub request_timeout: Duration,
    /// Longest a decision may take whose state is not yet proven.
    pub decision_timeout: Duration,
    /// How often the head is asked for while nothing announces it.
    pub poll_interval: Duration,
    /// Largest response body that is read.
    pub max_response_bytes: usize,
    /// Gas one policy call may use.
    pub gas_limit: u64,
    /// Rules of the EVM.
    pub hardfork: HardforkRule,
    /// Most storage slots one policy call may read.
    pub max_slots_per_decision: usize,
    /// Most decisions that fetch state at the same time.
    pub max_concurrent_fetches: usize,
    /// Most decisions remembered.
    pub max_memo: usize,
    /// Whether the network is a development network. Elsewhere a single endpoint is warned about: it can invent headers,
    /// and with them any state.
    pub development: bool,
}

impl BridgeConfig {
    /// The defaults for a contract on a chain.
    pub fn new(chain_id: ChainId, contract: ChainAddress, http: Url) -> Self {
        Self {
            chain_id,
            contract,
            http,
            ws: None,
            max_head_age_s: 60,
            max_clock_skew_s: 60,
            request_timeout: Duration::from_secs(5),
            decision_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_secs(1),
            max_response_bytes: 8 * 1024 * 1024,
            gas_limit: 10_000_000,
            hardfork: HardforkRule::HeaderShape,
            max_slots_per_decision: 1024,
            max_concurrent_fetches: 16,
            max_memo: 16_384,
            development: false,
        }
    }

    pub(crate) fn rules(&self) -> EvmRules {
        EvmRules {
            chain_id: self.chain_id.0,
            hardfork: self.hardfork,
            gas_limit: self.gas_limit,
        }
    }
    pub(crate) fn contract(&self) -> Address {
        Address::new(self.contract.to_bytes())
    }
}
