//! The world as a JSON-RPC endpoint, with a count of what it is asked. Two methods are the bench's own: `world_mine` makes
//! a block, `world_count` says what was asked since the last call.

use crate::world::{Block, World};
use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::Header,
};
use authority_policy::{
    AccountEvidence, EvmRules, HardforkRule, Missing, ProvenHeader, ProvenState, Reads, SlotEvidence, Stop,
    TrieNodes, execute,
};
use axum::{Router, extract::State, routing::post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Instant,
};

/// What was asked.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Count {
    pub http: u64,
    pub calls: u64,
    pub proofs: u64,
    pub bytes: u64,
    /// Microseconds spent answering.
    pub us: u64,
}

struct Served {
    world: World,
    /// Proofs the endpoint makes of its own world, to run a call for its access list.
    nodes: Arc<TrieNodes>,
    count: Count,
}

type Shared = Arc<Mutex<Served>>;

/// Serves the world on so many ports of this machine.
pub async fn serve(world: World, ports: usize) -> Vec<String> {
    let served = Served {
        world,
        nodes: Arc::default(),
        count: Count::default(),
    };
    let router = Router::new()
        .fallback(post(answer))
        .with_state(Arc::new(Mutex::new(served)));
    let mut urls = Vec::new();
    for _ in 0..ports {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        urls.push(format!("http://{}", listener.local_addr().unwrap()));
        let router = router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    }
    urls
}

async fn answer(State(served): State<Shared>, body: String) -> String {
    let request: Value = serde_json::from_str(&body).unwrap();
    let start = Instant::now();
    if request["method"] == "world_mine" {
        // Not under the lock: making a block is not what is measured.
        let params = &request["params"];
        let world = served.lock().unwrap().world.before();
        let accounts = world.changed(&arg::<Vec<usize>>(params, 0), arg(params, 1));
        let number = served.lock().unwrap().world.seal(accounts);
        return json!({ "jsonrpc": "2.0", "id": request["id"], "result": number }).to_string();
    }
    let mut served = served.lock().unwrap();
    let (calls, own, text) = match request.as_array() {
        Some(batch) => {
            let all: Vec<Value> = batch.iter().map(|one| served.one(one)).collect();
            (batch.len() as u64, false, serde_json::to_string(&all).unwrap())
        }
        None => {
            let own = request["method"].as_str().unwrap().starts_with("world_");
            (1, own, served.one(&request).to_string())
        }
    };
    if !own {
        served.count.http += 1;
        served.count.calls += calls;
        served.count.bytes += text.len() as u64;
        served.count.us += start.elapsed().as_micros() as u64;
    }
    text
}

fn arg<T: serde::de::DeserializeOwned>(params: &Value, index: impl serde_json::value::Index) -> T {
    serde_json::from_value(params[index].clone()).unwrap()
}

impl Served {
    fn one(&mut self, request: &Value) -> Value {
        let (method, params) = (request["method"].as_str().unwrap(), &request["params"]);
        json!({ "jsonrpc": "2.0", "id": request["id"], "result": self.result(method, params) })
    }

    fn result(&mut self, method: &str, params: &Value) -> Value {
        let pinned = |world: &World, at: &Value| -> Block {
            let hash: B256 = serde_json::from_value(at["blockHash"].clone()).unwrap();
            world.by_hash(hash).unwrap().clone()
        };
        match method {
            "eth_chainId" => json!("0x7a69"),
            "eth_getBlockByNumber" => header(match params[0].as_str().unwrap() {
                "latest" => Some(self.world.head()),
                "finalized" => Some(self.world.finalized()),
                number => {
                    let number = u64::from_str_radix(number.trim_start_matches("0x"), 16);
                    self.world.by_number(number.unwrap())
                }
            }),
            "eth_getBlockByHash" => header(self.world.by_hash(arg(params, 0))),
            "eth_getProof" => {
                self.count.proofs += 1;
                let slots: Vec<B256> = arg(params, 1);
                let block = pinned(&self.world, &params[2]);
                serde_json::to_value(block.proof(arg(params, 0), &slots)).unwrap()
            }
            "eth_getCode" => json!(pinned(&self.world, &params[1]).code(arg(params, 0))),
            "eth_createAccessList" => {
                let (to, data): (Address, Bytes) = (arg(&params[0], "to"), arg(&params[0], "data"));
                let reads = self.run(&pinned(&self.world, &params[1]), to, data);
                access_list(&reads)
            }
            "world_count" => json!(std::mem::take(&mut self.count)),
            other => panic!("{other} is not served"),
        }
    }

    /// Runs a call over the world.
    fn run(&self, block: &Block, to: Address, data: Bytes) -> Reads {
        let header = ProvenHeader::new(block.header.clone(), block.hash).unwrap();
        let state = ProvenState::new(header, Arc::clone(&self.nodes));
        let rules = EvmRules {
            chain_id: 31337,
            hardfork: HardforkRule::HeaderShape,
            gas_limit: 10_000_000,
        };
        loop {
            let missing = match execute(&state, &rules, to, data.clone()) {
                Ok(outcome) => return outcome.reads,
                Err(Stop::Missing(missing)) => missing,
                Err(Stop::Failed(fault)) => panic!("{fault}"),
            };
            let (address, slots) = match missing {
                Missing::Account(address) | Missing::Code { address, .. } => (address, vec![]),
                Missing::Slot { address, slot } => (address, vec![slot]),
                Missing::BlockHash(number) => panic!("asks for the hash of block {number}"),
            };
            let proof = block.proof(address, &slots);
            let account = AccountEvidence {
                address,
                nonce: proof.nonce,
                balance: proof.balance,
                storage_root: proof.storage_hash,
                code_hash: proof.code_hash,
                proof: proof.account_proof,
            };
            state.add_account(&account).unwrap();
            state.add_code(address, block.code(address)).unwrap();
            for slot in proof.storage_proof {
                let evidence = SlotEvidence {
                    slot: slot.key.as_b256(),
                    value: slot.value,
                    proof: slot.proof,
                };
                state.add_slot(address, &evidence).unwrap();
            }
        }
    }
}

fn header(block: Option<&Block>) -> Value {
    let header = |block: &Block| Header {
        hash: block.hash,
        inner: block.header.clone(),
        total_difficulty: None,
        size: None,
    };
    serde_json::to_value(block.map(header)).unwrap()
}

fn access_list(reads: &Reads) -> Value {
    let mut all: BTreeMap<Address, Vec<B256>> =
        reads.accounts().map(|address| (address, Vec::new())).collect();
    for (address, slot) in reads.slots() {
        all.entry(address).or_default().push(slot);
    }
    let items: Vec<Value> = all
        .into_iter()
        .map(|(address, slots)| json!({ "address": address, "storageKeys": slots }))
        .collect();
    json!({ "accessList": items, "gasUsed": "0x0" })
}
