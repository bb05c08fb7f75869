//! What a bridge needs to know before it starts. Everything else it reads from the chain. Refused: a number of endpoints
//! and a threshold by which one provider, or a minority, could say alone which headers are the chain's.

use crate::{BridgeError, rpc::endpoint_name};
use alloy::primitives::Address;
use authority_policy::{EvmRules, HardforkRule};
use kms_types::{ChainAddress, ChainId};
use std::{fmt, time::Duration};
use url::Url;

/// Most endpoints; each is asked with every head.
const MAX_ENDPOINTS: usize = 32;
const ENDPOINTS: &str = "chain.endpoints";

/// One JSON-RPC provider. Its URLs may hold keys, so they are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// HTTP endpoint.
    pub http: Url,
    /// WebSocket endpoint that announces new heads; without it the head is polled for.
    pub ws: Option<Url>,
}

impl From<Url> for EndpointConfig {
    fn from(http: Url) -> Self {
        Self { http, ws: None }
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("http", &endpoint_name(&self.http))
            .field("ws", &self.ws.as_ref().map(endpoint_name))
            .finish()
    }
}

/// Which chain, which contract, through which endpoints, within which bounds.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Chain the contract lives on; an endpoint of another chain is refused.
    pub chain_id: ChainId,
    /// The network's `KmsAuthority`.
    pub contract: ChainAddress,
    /// JSON-RPC providers, each of another operator.
    pub endpoints: Vec<EndpointConfig>,
    /// How many of them must agree on a header; 0 is the majority.
    pub threshold: usize,
    /// How long endpoints may disagree about blocks after the agreed head before nothing is decided.
    pub max_disagreement: Duration,
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
    /// Most rounds of fetching for one policy call. A round proves what the last execution missed (an account with its code, or
    /// a slot) and what endpoints guess it will read next.
    pub max_rounds_per_decision: usize,
    /// Most decisions that fetch state at the same time.
    pub max_concurrent_fetches: usize,
    /// Most decisions remembered.
    pub max_memo: usize,
    /// Whether the network is a development network. Elsewhere a single endpoint is refused: it can invent headers, and
    /// with them any state.
    pub development: bool,
}

impl BridgeConfig {
    /// The defaults for a contract on a chain.
    pub fn new(chain_id: ChainId, contract: ChainAddress, endpoints: Vec<EndpointConfig>) -> Self {
        Self {
            chain_id,
            contract,
            endpoints,
            threshold: 0,
            max_disagreement: Duration::from_secs(12),
            max_head_age_s: 60,
            max_clock_skew_s: 60,
            request_timeout: Duration::from_secs(5),
            decision_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_secs(1),
            max_response_bytes: 8 * 1024 * 1024,
            gas_limit: 10_000_000,
            hardfork: HardforkRule::HeaderShape,
            max_rounds_per_decision: 128,
            max_concurrent_fetches: 16,
            max_memo: 2048,
            development: false,
        }
    }

    /// How many endpoints must agree.
    pub fn needed(&self) -> usize {
        match self.threshold {
            0 => self.endpoints.len() / 2 + 1,
            threshold => threshold,
        }
    }

    /// Names of the endpoints: scheme, host and port, numbered where they are the same.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::with_capacity(self.endpoints.len());
        for endpoint in &self.endpoints {
            let name = endpoint_name(&endpoint.http);
            let same = |taken: &&String| **taken == name || taken.starts_with(&format!("{name}#"));
            let name = match names.iter().filter(same).count() {
                0 => name,
                earlier => format!("{name}#{}", earlier + 1),
            };
            names.push(name);
        }
        names
    }

    /// Whether these endpoints and this threshold may follow the network.
    ///
    /// # Errors
    /// [`BridgeError::Config`] with the field.
    pub fn check(&self) -> Result<(), BridgeError> {
        let (count, needed) = (self.endpoints.len(), self.needed());
        let refuse = |holds: bool, field, expected, actual: String| match holds {
            true => Ok(()),
            false => Err(BridgeError::Config {
                field,
                expected,
                actual,
            }),
        };
        // C2: whoever runs the only endpoint decides which headers exist, and with them any state.
        let least = if self.development { 1 } else { 2 };
        let bounds = (least..=MAX_ENDPOINTS).contains(&count);
        let several = "2 to 32 providers, or one in a development network";
        refuse(bounds, ENDPOINTS, several, count.to_string())?;
        // C2: two minorities that both count as agreement could each have a chain of their own.
        let majority = needed <= count && needed.saturating_mul(2) > count;
        let actual = format!("{needed} of {count}");
        refuse(
            majority,
            "chain.threshold",
            "0, or more than half of the endpoints and no more than there are",
            actual,
        )?;
        if self.development {
            return Ok(());
        }
        // C2: one provider under two entries would agree with itself. A port or a final dot makes no other host.
        let host = |endpoint: &EndpointConfig| {
            let host = endpoint.http.host_str().unwrap_or_default();
            host.trim_end_matches('.').to_owned()
        };
        let mut hosts: Vec<String> = self.endpoints.iter().map(host).collect();
        hosts.sort_unstable();
        let repeated = hosts.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(one.clone()),
            _ => None,
        });
        let different = "providers of different hosts";
        refuse(
            repeated.is_none(),
            ENDPOINTS,
            different,
            repeated.unwrap_or_default(),
        )
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
