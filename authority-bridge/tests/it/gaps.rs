//! Finalized blocks far after the one before. Anvil's chain is real; what a wrapper over it invents are headers that hash
//! to their hashes, as anyone can make them, and that do not descend from what was final.

use crate::fixture::{Net, until};
use alloy::primitives::{B256, Bytes};
use async_trait::async_trait;
use authority_bridge::{
    Bridge, BridgeError, Endpoint, Evidence, EvidenceSource, HeaderSource, Subject, Tip, Want,
};
use authority_policy::ProvenHeader;
use kms_types::BlockRef;
use std::{collections::BTreeMap, sync::Arc};

/// A provider with headers of its own from some height on; its evidence is that of the real blocks.
struct Inventor {
    real: Endpoint,
    invented: BTreeMap<u64, ProvenHeader>,
    real_hashes: BTreeMap<B256, B256>,
}

impl Inventor {
    /// Invents linked headers from `first` to `claimed`; the first has a parent nobody knows.
    async fn new(net: &Net, first: u64, claimed: u64) -> Self {
        let config = net.config();
        let real = Endpoint::new(&config, &config.endpoints[0]).unwrap();
        let (mut invented, mut real_hashes) = (BTreeMap::new(), BTreeMap::new());
        let mut parent = B256::repeat_byte(7);
        let mut next = first;
        while next <= claimed {
            for header in real.range(next, claimed.min(next + 255)).await.unwrap() {
                let fake = with(&header, |fields| fields.parent_hash = parent);
                parent = fake.hash();
                real_hashes.insert(fake.hash(), header.hash());
                invented.insert(fake.number(), fake);
                next += 1;
            }
        }
        Self {
            real,
            invented,
            real_hashes,
        }
    }

    fn real_hash(&self, block: B256) -> B256 {
        self.real_hashes.get(&block).copied().unwrap_or(block)
    }
}

fn with(header: &ProvenHeader, change: impl FnOnce(&mut alloy::consensus::Header)) -> ProvenHeader {
    let mut fields = header.fields().clone();
    change(&mut fields);
    let hash = fields.hash_slow();
    ProvenHeader::new(fields, hash).unwrap()
}

#[async_trait]
impl HeaderSource for Inventor {
    fn name(&self) -> &str {
        "inventor"
    }
    async fn tip(&self) -> Result<Tip, BridgeError> {
        let mut tip = self.real.tip().await?;
        if let Some((_, last)) = self.invented.last_key_value() {
            tip.finalized = last.clone();
        }
        Ok(tip)
    }
    async fn by_hash(&self, hash: B256) -> Result<Option<ProvenHeader>, BridgeError> {
        self.real.by_hash(hash).await
    }
    async fn range(&self, from: u64, to: u64) -> Result<Vec<ProvenHeader>, BridgeError> {
        let headers = self.real.range(from, to).await?;
        let own = |header: ProvenHeader| self.invented.get(&header.number()).cloned().unwrap_or(header);
        Ok(headers.into_iter().map(own).collect())
    }
}

#[async_trait]
impl EvidenceSource for Inventor {
    fn name(&self) -> &str {
        "inventor"
    }
    async fn evidence(&self, block: B256, wants: &[Want]) -> Result<Vec<Evidence>, BridgeError> {
        self.real.evidence(self.real_hash(block), wants).await
    }
    async fn hint(
        &self,
        block: B256,
        contract: alloy::primitives::Address,
        call: Bytes,
    ) -> Result<Vec<Want>, BridgeError> {
        self.real.hint(self.real_hash(block), contract, call).await
    }
}

/// A network whose floor lies `gap` blocks before its finalized block, and that floor.
async fn away(gap: u64) -> (Net, BlockRef) {
    let net = Net::settled().await;
    net.bridge().await.shutdown().await;
    let floor = net.floor.block.lock().unwrap().unwrap();
    net.mine(gap).await;
    assert_eq!(net.height().await, floor.number + gap + 2);
    (net, floor)
}

async fn started(net: &Net, source: Inventor) -> Result<Bridge, BridgeError> {
    let source = Arc::new(source);
    let headers: Arc<dyn HeaderSource> = Arc::clone(&source) as _;
    let (floor, clock) = (Arc::clone(&net.floor), Arc::clone(&net.clock));
    Bridge::start_with(net.config(), headers, source, floor, clock).await
}

async fn refused(net: &Net, source: Inventor, text: &str) {
    let floor = *net.floor.block.lock().unwrap();
    let bridge = started(net, source).await.unwrap();
    let status = until(&bridge, |status| {
        status.finalized.is_some()
            || status
                .last_error
                .as_ref()
                .is_some_and(|error| error.contains(text))
    })
    .await;
    assert_eq!(status.finalized, None);
    assert!(bridge.decide(Subject::App, &net.record()).await.is_err());
    bridge.shutdown().await;
    assert_eq!(*net.floor.block.lock().unwrap(), floor);
}

#[tokio::test]
async fn c7_a_finalized_block_far_after_the_floor_is_linked_to_it() {
    // Gaps whose last piece is full, just begun and in between.
    for gap in [256, 257, 600] {
        let (net, floor) = away(gap).await;
        let bridge = net.bridge().await;
        let finalized = bridge.status().finalized.unwrap();
        assert_eq!(finalized.number, floor.number + gap);
        let decided = bridge.decide(Subject::App, &net.record()).await.unwrap();
        assert!(decided.is_allowed(), "{decided:?}");
        let raised = net.floor.block.lock().unwrap().unwrap();
        assert_eq!(raised, finalized.block_ref());
    }
}

#[tokio::test]
async fn c7_a_gap_wider_than_one_step_is_linked_over_several() {
    let (net, floor) = away(4_200).await;
    let bridge = net.bridge().await;
    let status = bridge.status();
    assert_eq!(status.finalized, None);
    let error = status.last_error.unwrap();
    assert!(error.contains("linked up to block"), "{error}");
    assert_eq!(*net.floor.block.lock().unwrap(), Some(floor));
    let status = until(&bridge, |status| status.finalized.is_some()).await;
    assert_eq!(status.finalized.unwrap().number, floor.number + 4_200);
}

#[tokio::test]
async fn c7_an_invented_finalized_block_far_after_the_floor_is_refused() {
    let (net, floor) = away(600).await;
    let claimed = floor.number + 600;
    // The claimed block alone; from where a piece begins; from within a piece.
    for first in [
        claimed,
        floor.number + 256,
        floor.number + 511,
        floor.number + 300,
    ] {
        let source = Inventor::new(&net, first, claimed).await;
        refused(&net, source, "do not link to finalized block").await;
    }
    // From right after the floor: the whole chain contradicts what was final.
    let source = Inventor::new(&net, floor.number + 1, claimed).await;
    let error = started(&net, source).await.err().unwrap();
    assert!(
        matches!(error, BridgeError::Disagreement { number, .. } if number == floor.number),
        "{error}"
    );
    assert_eq!(*net.floor.block.lock().unwrap(), Some(floor));
}

#[tokio::test]
async fn c7_a_gap_too_wide_to_link_is_left_to_the_operator() {
    let (net, floor) = away(3).await;
    let mut source = Inventor::new(&net, floor.number + 3, floor.number + 3).await;
    let (_, last) = source.invented.pop_last().unwrap();
    let number = floor.number + 1_000_001;
    let far = with(&last, |fields| fields.number = number);
    source.invented.insert(number, far);
    refused(&net, source, "floor accept --block NUMBER:HASH").await;
}
