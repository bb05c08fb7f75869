//! A network whose bridge sees the chain through endpoints that lie on command, the first ones before the others.

use crate::fixture::{COMPOSE, Net, PATIENCE, until};
use authority_bridge::{Bridge, BridgeConfig, BridgeError, ChainStatus, EndpointConfig, Subject};
use hostile_rpc::{HostileRpc, Lie};
use kms_types::{AppId, BootRecord, ComposeHash, DeviceId};
use serde_json::json;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Whatever one of three does, a new block and a decision that needs evidence take no longer. Far below the timeout of a
/// request, far above what either takes.
pub const PROMPT: Duration = Duration::from_secs(6);
/// How long endpoints may disagree in these tests.
pub const DISAGREEMENT: Duration = Duration::from_millis(500);

/// A network and the endpoints before it, all honest at first.
pub struct Ring {
    pub net: Net,
    pub rpcs: Vec<HostileRpc>,
    pub threshold: usize,
    asked: AtomicU32,
}

impl Ring {
    pub async fn new(count: usize, threshold: usize) -> Self {
        let net = Net::settled().await;
        let mut rpcs = Vec::new();
        for _ in 0..count {
            rpcs.push(HostileRpc::start(net.anvil.endpoint_url()).await.unwrap());
        }
        Self {
            net,
            rpcs,
            threshold,
            asked: AtomicU32::new(0),
        }
    }

    pub fn config(&self) -> BridgeConfig {
        BridgeConfig {
            endpoints: self
                .rpcs
                .iter()
                .map(|rpc| EndpointConfig::from(rpc.url()))
                .collect(),
            threshold: self.threshold,
            max_disagreement: DISAGREEMENT,
            // One among several must not be waited for; the only one is.
            request_timeout: match self.rpcs.len() {
                1 => Duration::from_secs(1),
                _ => Duration::from_secs(15),
            },
            max_response_bytes: 256 * 1024,
            ..self.net.config()
        }
    }

    pub async fn try_start(&self) -> Result<Bridge, BridgeError> {
        self.net.bridge_with(self.config()).await
    }

    pub async fn start(&self) -> Bridge {
        let bridge = self.try_start().await.unwrap();
        bridge.ready(PATIENCE).await.unwrap();
        bridge
    }

    /// The first `count` endpoints tell this lie.
    pub fn lie(&self, count: usize, lie: &Lie) {
        for rpc in &self.rpcs[..count] {
            rpc.set(lie.clone());
        }
    }

    pub fn honest(&self) {
        self.rpcs.iter().for_each(HostileRpc::honest);
    }

    /// A record the contract allows as long as it allows [`COMPOSE`], and that nobody asked about before.
    pub fn unseen(&self) -> BootRecord {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut record = self.net.record();
        record.info.device_id = DeviceId::new(
            [[0xd0; 28].as_slice(), &number.to_be_bytes()]
                .concat()
                .try_into()
                .unwrap(),
        );
        record
    }

    /// Records the contract denies: code it does not know, an app it does not know, a platform too old. Not asked before.
    pub fn denied(&self) -> [BootRecord; 3] {
        let mut records = [self.unseen(), self.unseen(), self.unseen()];
        records[0].info.compose_hash = ComposeHash::new([0xbb; 32]);
        records[1].info.app_id = AppId::new([3; 20]);
        records[2].tdx_module_svn = 1;
        records
    }

    /// Whether keys would be released; an error is none.
    pub async fn grants(&self, bridge: &Bridge, record: &BootRecord) -> bool {
        let decided = bridge.decide(Subject::App, record).await;
        decided.is_ok_and(|decided| decided.is_allowed())
    }

    /// Everything the contract denies is denied, or there is no answer.
    pub async fn never_wrong(&self, bridge: &Bridge, what: &str) {
        for record in self.denied() {
            assert!(!self.grants(bridge, &record).await, "{what}: granted {record:?}");
        }
    }

    /// What one endpoint's lie must not touch: a new block is followed, what is allowed is granted, what is not is denied,
    /// each at once.
    pub async fn serves(&self, bridge: &Bridge, what: &str) {
        self.net.mine(1).await;
        self.follows(bridge, what).await;
        let from = Instant::now();
        for record in [self.net.record(), self.unseen()] {
            let decided = bridge.decide(Subject::App, &record).await;
            assert!(
                decided.as_ref().is_ok_and(|decided| decided.is_allowed()),
                "{what}: {decided:?}"
            );
        }
        self.refuses(bridge, &self.denied(), what).await;
        assert!(
            from.elapsed() < PROMPT,
            "{what}: decisions took {:?}",
            from.elapsed()
        );
    }

    /// These are denied, not merely unanswered.
    pub async fn refuses(&self, bridge: &Bridge, records: &[BootRecord], what: &str) {
        for record in records {
            let decided = bridge.decide(Subject::App, record).await;
            assert!(
                decided.as_ref().is_ok_and(|decided| !decided.is_allowed()),
                "{what}: {decided:?}"
            );
        }
    }

    /// Hash of the real chain's head.
    async fn real_head(&self) -> String {
        let head = self
            .net
            .raw("eth_getBlockByNumber", json!(["latest", false]))
            .await;
        head["hash"].as_str().unwrap().to_owned()
    }

    /// The real chain's present head is followed at once.
    pub async fn follows(&self, bridge: &Bridge, what: &str) {
        self.follows_within(PROMPT, bridge, what).await;
    }

    pub async fn follows_within(&self, bound: Duration, bridge: &Bridge, what: &str) {
        let real = self.real_head().await;
        let mut changes = bridge.changes();
        let there = |status: &ChainStatus| status.head.is_some_and(|head| head.hash.to_string() == real);
        let reached = tokio::time::timeout(bound, changes.wait_for(there)).await.is_ok();
        assert!(reached, "{what}: not at block {real}: {:?}", bridge.status());
    }

    /// A revocation is refused as soon as it is mined.
    pub async fn revokes(&self, bridge: &Bridge, what: &str) {
        self.net.revoke_compose(COMPOSE).await;
        self.follows(bridge, what).await;
        let from = Instant::now();
        self.refuses(bridge, &[self.net.record(), self.unseen()], what)
            .await;
        assert!(
            from.elapsed() < PROMPT,
            "{what}: refusals took {:?}",
            from.elapsed()
        );
    }

    /// The same, allowed again and final.
    pub async fn allows_again(&self) {
        self.net.allow_compose(COMPOSE).await;
        self.net.mine(3).await;
    }

    /// The first endpoint is told apart by name, the others are not blamed.
    pub async fn names_the_liar(&self, bridge: &Bridge, what: &str) {
        let mut changes = bridge.changes();
        let told =
            |status: &ChainStatus| status.endpoints[0].last_error.is_some() || status.endpoints[0].lies > 0;
        let reached = tokio::time::timeout(PATIENCE, changes.wait_for(told))
            .await
            .is_ok();
        let status = bridge.status();
        assert!(reached, "{what}: nobody noticed: {status:?}");
        if let Some(error) = &status.endpoints[0].last_error {
            self.is_named(error, what);
        }
        self.others_are_well(bridge, what).await;
    }

    /// An endpoint that was not needed may not have answered yet: it is waited for.
    pub async fn others_are_well(&self, bridge: &Bridge, what: &str) {
        let mut changes = bridge.changes();
        let well = |status: &ChainStatus| status.endpoints[1..].iter().all(|honest| honest.healthy);
        let _ = tokio::time::timeout(PATIENCE, changes.wait_for(well)).await;
        for honest in &bridge.status().endpoints[1..] {
            assert!(honest.healthy && honest.lies == 0, "{what}: {honest:?}");
        }
    }

    /// The first endpoint's name stands in the text, and nothing secret.
    pub fn is_named(&self, text: &str, what: &str) {
        assert!(text.contains(&self.rpcs[0].name()), "{what}: {text}");
        assert!(
            !text.contains("secret") && !text.contains("key-in-path"),
            "{what}: {text}"
        );
    }

    /// Waits until the follower has taken another step or failed to.
    pub async fn noticed(&self, bridge: &Bridge) {
        let before = bridge.status();
        let height = self.net.height().await;
        until(bridge, |status| {
            !status.connected
                || status.head != before.head
                || status.head.is_some_and(|head| head.number >= height)
        })
        .await;
    }
}
