//! The section `[chain]` of every service that follows one: its keys, which values may start, and the bridge they make.
//!
//! Refuses a chain or a contract that is none, URLs without TLS outside a development network, and a single endpoint
//! there. URLs may hold keys: neither a problem nor `Debug` repeats one.

use crate::{BridgeConfig, BridgeError, EndpointConfig};
use kms_settings::Checker;
use kms_types::{ChainAddress, ChainId};
use serde::Deserialize;
use std::{fmt, time::Duration};
use url::Url;

/// `[chain]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSection {
    /// EIP-155 id.
    pub chain_id: ChainId,
    /// KmsAuthority, or any contract that answers its questions.
    pub contract: ChainAddress,
    /// Providers.
    pub endpoints: Vec<EndpointSection>,
    /// How many of them must agree on a header; 0 for the majority.
    pub threshold: usize,
    /// Oldest head that decides.
    pub max_head_age_s: u64,
    /// How long endpoints may disagree before nothing is decided.
    pub max_disagreement_s: u64,
    /// One RPC call.
    pub request_timeout_ms: u64,
    /// Polling without a WebSocket.
    pub poll_interval_ms: u64,
    /// Gas of a policy call.
    pub gas_limit: u64,
    /// The operator says this is a development network.
    pub development: bool,
}

/// One provider.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSection {
    /// HTTP endpoint.
    pub http: String,
    /// WebSocket endpoint, or empty.
    #[serde(default)]
    pub ws: String,
}

impl fmt::Debug for EndpointSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSection").finish_non_exhaustive()
    }
}

const HTTP: &[&str] = &["http", "https"];
const HTTPS: &[&str] = &["https"];
const WS: &[&str] = &["ws", "wss"];
const WSS: &[&str] = &["wss"];

impl ChainSection {
    /// Collects the values that may not start.
    pub fn check(&self, checker: &mut Checker) {
        // C1: chain 0 and contract 0 exist nowhere; a service that answered to them would answer to nothing.
        checker.require(
            self.chain_id.0 != 0,
            "chain.chain_id",
            "the id of a chain",
            self.chain_id,
        );
        checker.require(
            !self.contract.is_zero(),
            "chain.contract",
            "the KmsAuthority contract",
            self.contract,
        );
        self.check_endpoints(checker);
        let bounds = [
            ("chain.max_head_age_s", "1 to 3600", 1..=3600, self.max_head_age_s),
            (
                "chain.max_disagreement_s",
                "1 to 3600",
                1..=3600,
                self.max_disagreement_s,
            ),
            (
                "chain.request_timeout_ms",
                "100 to 60000",
                100..=60_000,
                self.request_timeout_ms,
            ),
            (
                "chain.poll_interval_ms",
                "50 to 60000",
                50..=60_000,
                self.poll_interval_ms,
            ),
            (
                "chain.gas_limit",
                "100000 to 100000000",
                100_000..=100_000_000,
                self.gas_limit,
            ),
        ];
        for (key, expected, range, value) in bounds {
            checker.between(key, expected, range, value);
        }
    }

    fn check_endpoints(&self, checker: &mut Checker) {
        // C1: without TLS whoever is on the way answers for the chain, or withholds what revokes a platform.
        let (http, ws) = if self.development {
            (HTTP, WS)
        } else {
            (HTTPS, WSS)
        };
        for endpoint in &self.endpoints {
            checker.url(
                "chain.endpoints",
                http,
                "https URLs (http in a development network) as `http`",
                &endpoint.http,
            );
            if !endpoint.ws.is_empty() {
                checker.url(
                    "chain.endpoints",
                    ws,
                    "wss URLs (ws in a development network), or nothing, as `ws`",
                    &endpoint.ws,
                );
            }
        }
        let refused = self.bridge().ok().and_then(|bridge| bridge.check().err());
        if let Some(BridgeError::Config {
            field,
            expected,
            actual,
        }) = refused
        {
            checker.require(false, field, expected, actual);
        }
    }

    /// The bridge these values make.
    ///
    /// # Errors
    /// When a URL cannot be read, which [`ChainSection::check`] tells first.
    pub fn bridge(&self) -> Result<BridgeConfig, url::ParseError> {
        let endpoints = self.endpoints.iter().map(|endpoint| {
            Ok(EndpointConfig {
                http: Url::parse(&endpoint.http)?,
                ws: (!endpoint.ws.is_empty())
                    .then(|| Url::parse(&endpoint.ws))
                    .transpose()?,
            })
        });
        let endpoints = endpoints.collect::<Result<Vec<_>, url::ParseError>>()?;
        let mut bridge = BridgeConfig::new(self.chain_id, self.contract, endpoints);
        bridge.threshold = self.threshold;
        bridge.max_disagreement = Duration::from_secs(self.max_disagreement_s);
        bridge.max_head_age_s = self.max_head_age_s;
        bridge.request_timeout = Duration::from_millis(self.request_timeout_ms);
        bridge.poll_interval = Duration::from_millis(self.poll_interval_ms);
        bridge.gas_limit = self.gas_limit;
        bridge.development = self.development;
        Ok(bridge)
    }
}
