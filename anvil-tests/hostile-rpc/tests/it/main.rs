//! Each lie is told, and only when it should be: otherwise a test that a lie does no harm would show nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use alloy::{
    node_bindings::{Anvil, AnvilInstance},
    rpc::types::Header,
};
use hostile_rpc::{HEADER_FIELDS, HostileRpc, InventedChain, Lie};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

fn program() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../contracts/node_modules/.bin/anvil"
    ))
}

/// Any honest answer is there long before, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);

struct Place {
    anvil: AnvilInstance,
    proxy: HostileRpc,
    client: reqwest::Client,
}

impl Place {
    /// A chain of some blocks; one account has two slots, and one transaction has emitted a log.
    async fn new() -> Self {
        let anvil = Anvil::at(program())
            .args(["--slots-in-an-epoch", "1"])
            .try_spawn()
            .unwrap();
        let proxy = HostileRpc::start(anvil.endpoint_url()).await.unwrap();
        let place = Self {
            anvil,
            proxy,
            client: reqwest::Client::new(),
        };
        let account = format!("0x{}", "42".repeat(20));
        // Emits an empty log without topics.
        place
            .real("anvil_setCode", json!([account, "0x60006000a0"]))
            .await;
        for slot in 1..3 {
            let slot = format!("{slot:#066x}");
            place
                .real("anvil_setStorageAt", json!([account, slot, slot]))
                .await;
        }
        place.real("anvil_mine", json!(["0x4"])).await;
        let from = format!("{:#x}", place.anvil.addresses()[0]);
        let sent = place
            .real("eth_sendTransaction", json!([{"from": from, "to": account}]))
            .await;
        let receipt = || place.real("eth_getTransactionReceipt", json!([sent]));
        // Answered when it is accepted; its block comes after.
        while receipt().await.is_null() {}
        place
    }

    async fn ask(&self, url: url::Url, request: Value) -> Option<Value> {
        self.ask_within(PATIENCE, url, request).await
    }

    async fn ask_within(&self, bound: Duration, url: url::Url, request: Value) -> Option<Value> {
        let sent = self.client.post(url).timeout(bound).json(&request).send();
        let answer = sent.await.ok()?;
        answer.status().is_success().then_some(())?;
        answer.json().await.ok()
    }

    async fn real(&self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.ask(self.anvil.endpoint_url(), request).await.unwrap();
        answer
            .get("result")
            .cloned()
            .unwrap_or_else(|| panic!("{answer}"))
    }

    async fn batch(&self) -> Value {
        let account = format!("0x{}", "42".repeat(20));
        let head = self.real("eth_getBlockByNumber", json!(["latest", false])).await;
        let (hash, parent) = (&head["hash"], &head["parentHash"]);
        let slots = [1, 2, 3].map(|slot| format!("{slot:#066x}"));
        let calls = [
            ("eth_chainId", json!([])),
            ("eth_blockNumber", json!([])),
            ("eth_getBlockByNumber", json!(["latest", false])),
            ("eth_getBlockByNumber", json!(["finalized", false])),
            ("eth_getBlockByNumber", json!(["0x2", false])),
            ("eth_getBlockByHash", json!([parent, false])),
            ("eth_getProof", json!([account, slots, {"blockHash": hash}])),
            ("eth_getCode", json!([account, {"blockHash": hash}])),
            (
                "eth_createAccessList",
                json!([{"to": account}, {"blockHash": hash}]),
            ),
            ("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "latest"}])),
            ("eth_getBlockReceipts", json!(["latest"])),
        ];
        let request = |(id, (method, params)): (usize, &(&str, Value))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        calls.iter().enumerate().map(request).collect()
    }

    /// What the proxy answers to a bit of everything.
    async fn everything(&self, bound: Duration) -> Option<Value> {
        self.ask_within(bound, self.proxy.url(), self.batch().await).await
    }
}

fn all() -> Vec<Lie> {
    let fields = HEADER_FIELDS.into_iter().filter(|field| *field != "hash");
    let per_field = fields.flat_map(|field| {
        [
            Lie::Header(field),
            Lie::InventedHead(field),
            Lie::InventedFinalized(field),
        ]
    });
    let mut lies = vec![
        Lie::SlotSet,
        Lie::SlotCleared,
        Lie::SlotProofCut,
        Lie::SlotProofForged,
        Lie::SlotOmitted,
        Lie::SlotReordered,
        Lie::Code,
        Lie::CodeMissing,
        Lie::Balance,
        Lie::Nonce,
        Lie::StorageRoot,
        Lie::CodeHash,
        Lie::AccountAbsent,
        Lie::AccountProofCut,
        Lie::AccountProofForged,
        Lie::AccountProofOversized,
        Lie::AccountProofOfOther,
        Lie::EvidenceOfOlderBlock,
        Lie::AccessListEmpty,
        Lie::AccessListHuge,
        Lie::Header("hash"),
        Lie::OtherBlockByHash,
        Lie::OtherBlockByNumber,
        Lie::BlocksUnknown,
        Lie::HeadOlder(2),
        Lie::FinalizedOlder(2),
        Lie::FinalizedNewer,
        Lie::FinalizedMissing,
        Lie::HeadMissing,
        Lie::TagsSwapped,
        Lie::ChainId,
        Lie::BlockNumberAhead,
        Lie::BlockNumberZero,
        Lie::LogsHidden,
        Lie::LogsInvented,
        Lie::ReceiptsHidden,
        Lie::ReceiptsFailed,
        Lie::ReceiptsAltered,
        Lie::ReceiptsDoubled,
        Lie::OldView {
            head: 3,
            finalized: 1,
        },
        Lie::Stall,
        Lie::StallAfterHeaders,
        Lie::Trickle,
        Lie::Status(429),
        Lie::Status(500),
        Lie::Redirect,
        Lie::Truncated,
        Lie::Oversized,
        Lie::DeeplyNested,
        Lie::DeepResult,
        Lie::Garbage,
        Lie::Empty,
        Lie::Null,
        Lie::NoAnswers,
        Lie::OtherIds,
        Lie::AnswersExchanged,
        Lie::NullResults,
        Lie::RpcErrors,
        Lie::HugeNumbers,
    ];
    lies.extend(per_field);
    lies
}

#[tokio::test]
async fn every_lie_is_told_and_nothing_but_the_truth_before_and_after() {
    let place = Place::new().await;
    let truth = place.ask(place.anvil.endpoint_url(), place.batch().await).await;
    assert!(truth.is_some());
    let mut told = Vec::<(String, Option<Value>)>::new();
    for lie in all() {
        let name = lie.to_string();
        let bound = match lie {
            Lie::Stall | Lie::StallAfterHeaders | Lie::Trickle | Lie::Oversized => Duration::from_millis(800),
            _ => PATIENCE,
        };
        place.proxy.set(lie);
        let answer = place.everything(bound).await;
        assert!(answer != truth, "{name} was not told");
        // Lies that leave no answer look alike.
        let same = told
            .iter()
            .find(|(_, other)| answer.is_some() && *other == answer);
        assert!(same.is_none(), "{name} is the same as {same:?}");
        told.push((name, answer));
        place.proxy.honest();
        assert!(place.everything(PATIENCE).await == truth, "honest again");
    }
}

#[tokio::test]
async fn an_invented_head_hashes_and_is_served_by_its_hash() {
    let place = Place::new().await;
    for field in HEADER_FIELDS.into_iter().filter(|field| *field != "hash") {
        place.proxy.set(Lie::InventedHead(field));
        let call = |method, tag: Value| json!([{"jsonrpc": "2.0", "id": 1, "method": method, "params": [tag, false]}]);
        let answer = place
            .ask(place.proxy.url(), call("eth_getBlockByNumber", json!("latest")))
            .await
            .unwrap();
        let block = &answer[0]["result"];
        let header: Header = serde_json::from_value(block.clone()).unwrap();
        assert_eq!(header.inner.hash_slow(), header.hash, "{field}");
        let again = place
            .ask(
                place.proxy.url(),
                call("eth_getBlockByHash", block["hash"].clone()),
            )
            .await
            .unwrap();
        assert_eq!(&again[0]["result"], block, "{field}");
        let real = place
            .real("eth_getBlockByHash", json!([block["hash"], false]))
            .await;
        assert!(real.is_null(), "{field}: nobody else knows it");
    }
}

#[tokio::test]
async fn lies_take_turns_by_request_and_by_connection() {
    let place = Place::new().await;
    let call = json!([{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}]);
    for turns in [Lie::PerRequest, Lie::PerConnection] {
        place.proxy.set(turns(vec![Lie::ChainId, Lie::Honest]));
        let mut ids = Vec::new();
        for _ in 0..4 {
            let answer = place.ask(place.proxy.url(), call.clone()).await.unwrap();
            ids.push(answer[0]["result"] == "0x1");
        }
        assert!(
            ids == [true, false, true, false] || ids == [false, true, false, true],
            "{ids:?}"
        );
    }
}

#[tokio::test]
async fn a_frozen_view_stands_still() {
    let place = Place::new().await;
    let before = place.everything(PATIENCE).await.unwrap();
    place.proxy.freeze().await.unwrap();
    place.real("anvil_mine", json!(["0x3"])).await;
    let after = place.everything(PATIENCE).await.unwrap();
    for answer in [1, 2, 3, 9] {
        assert_eq!(before[answer], after[answer]);
    }
    assert!(after[6]["result"].is_null(), "no evidence of hidden blocks");
}

#[tokio::test]
async fn an_invented_chain_shares_the_past_and_proves_its_own_present() {
    let place = Place::new().await;
    let chain = InventedChain::fork(&place.anvil.endpoint_url(), &program())
        .await
        .unwrap();
    let fork = place.real("eth_blockNumber", json!([])).await;
    assert_eq!(json!(format!("{:#x}", chain.fork_block())), fork);
    chain.mine(3).await.unwrap();
    place.real("anvil_mine", json!(["0x3"])).await;
    let block = |number: Value| chain.call("eth_getBlockByNumber", json!([number, false]));
    for (number, shared) in [
        (json!("0x0"), true),
        (json!("0x3"), true),
        (fork, true),
        (json!("latest"), false),
    ] {
        let (invented, real) = (
            block(number.clone()).await.unwrap(),
            place.real("eth_getBlockByNumber", json!([number, false])).await,
        );
        assert_eq!(invented["hash"] == real["hash"], shared, "{number}");
        let header: Header = serde_json::from_value(invented).unwrap();
        assert_eq!(header.inner.hash_slow(), header.hash);
    }
}
