//! A bridge over three endpoints through thousands of random events: blocks, policy changes, reorganisations, endpoints
//! that are cut, hang, freeze or serve a forged fork, and time that jumps. Every decision made meanwhile is held against the
//! honest chain: I1 nothing is granted that the two blocks named do not allow, I2 nothing is granted over an old head, I3
//! finalized never goes back, I4 asking again over the same blocks never turns a denial or an error into an allowance.

use crate::{
    dice::{self, Dice},
    fixture::{COMPOSE, Net, reason, tool, until},
    gate::{Gate, Way},
    oracle::{Asked, BOUND, Oracle},
    world::number,
};
use alloy::{
    node_bindings::{Anvil, AnvilInstance},
    primitives::{Address, B256, Bytes},
    sol_types::SolCall,
};
use authority_bridge::{Bridge, BridgeConfig, BridgeError, Clock, Subject};
use authority_contracts::{
    Answer,
    abi::{AppAuthority, KmsAuthority},
    decode_answer, question,
};
use kms_types::{BootRecord, ComposeHash, DeviceId};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Finalized is two epochs behind the head, deeper than any reorganisation here.
const EPOCH: u64 = 12;
const DEEPEST: u64 = 20;
/// Faults of an endpoint end by themselves: the bridge leaves one alone the longer, the longer it failed.
const LONGEST_FAULT: Duration = Duration::from_millis(700);
const TASKS: usize = 3;
/// A compose hash that only a forged fork allows.
const NEVER: ComposeHash = ComposeHash::new([0xbd; 32]);
const LISTED: DeviceId = DeviceId::new([0xde; 32]);

struct Field {
    net: Arc<Net>,
    client: reqwest::Client,
    records: Arc<Vec<BootRecord>>,
    gates: Vec<Gate>,
    /// When each gate's fault ends.
    faults: Vec<Option<Instant>>,
    fork: Option<AnvilInstance>,
    forked: usize,
    oracle: Oracle,
    dice: Dice,
    log: Vec<String>,
}

impl Field {
    async fn new(seed: u64) -> (Self, BridgeConfig) {
        let net = Arc::new(Net::start_with_epoch(EPOCH).await);
        net.app(AppAuthority::setAllowAnyDeviceCall { allowAny: false })
            .await;
        net.app(AppAuthority::addDeviceCall {
            deviceId: B256::new(LISTED.to_bytes()),
        })
        .await;
        net.mine(2 * EPOCH + 1).await;
        net.raw("evm_setAutomine", json!([false])).await;
        let mut gates = Vec::new();
        for _ in 0..3 {
            gates.push(Gate::start(net.anvil.port()).await);
        }
        let config = BridgeConfig {
            endpoints: gates.iter().map(|gate| gate.url.clone().into()).collect(),
            threshold: 2,
            max_disagreement: Duration::from_millis(300),
            request_timeout: Duration::from_millis(500),
            ..net.config()
        };
        let mut records: Vec<BootRecord> = (0..4).map(|_| net.record()).collect();
        records[1].info.compose_hash = ComposeHash::new([0xc1; 32]);
        records[2].info.device_id = DeviceId::new([0xdf; 32]);
        records[3].info.compose_hash = NEVER;
        let mut field = Self {
            client: reqwest::Client::new(),
            records: Arc::new(records),
            gates,
            faults: vec![None; 3],
            fork: None,
            forked: 0,
            oracle: Oracle::new(2 * EPOCH),
            dice: Dice::new(seed),
            log: Vec::new(),
            net,
        };
        field.record(Instant::now()).await;
        field.oracle.majority(true);
        (field, config)
    }

    async fn rpc(&self, url: String, requests: &[(&str, Value)]) -> Vec<Value> {
        let batch: Vec<Value> = requests
            .iter()
            .enumerate()
            .map(|(id, (method, params))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .collect();
        if batch.is_empty() {
            return Vec::new();
        }
        let sent = self.client.post(url).json(&batch).send().await.unwrap();
        let mut answers: Vec<Value> = sent.json().await.unwrap();
        answers.sort_by_key(|answer| answer["id"].as_u64());
        answers
    }

    async fn honest(&self, requests: &[(&str, Value)]) -> Vec<Value> {
        self.rpc(self.net.anvil.endpoint(), requests).await
    }

    /// Takes down what the chain has become since `began`, and what its contract says at every new block.
    async fn record(&mut self, began: Instant) {
        let head = self.honest(&[("eth_blockNumber", json!([]))]).await;
        let ended = Instant::now();
        let height = number(&head[0]["result"]);
        let (mut from, mut new) = (height + 1, Vec::new());
        // Back to the newest block that is known already.
        'back: while from > 0 {
            let low = from.saturating_sub(32);
            let wanted: Vec<_> = (low..from)
                .map(|n| ("eth_getBlockByNumber", json!([format!("{n:#x}"), false])))
                .collect();
            for answer in self.honest(&wanted).await.into_iter().rev() {
                let hash: B256 = answer["result"]["hash"].as_str().unwrap().parse().unwrap();
                if self.oracle.has(from - 1, hash) {
                    break 'back;
                }
                from -= 1;
                new.push(hash);
            }
        }
        new.reverse();
        let mut answered = Vec::new();
        for hash in new {
            answered.push((hash, self.answers(hash).await));
        }
        let allowed = |oracle: &Oracle| -> Vec<bool> {
            (0..self.records.len())
                .map(|record| oracle.is_allowed(record))
                .collect()
        };
        let before = allowed(&self.oracle);
        self.oracle.changed(from, answered, began, ended);
        let after = allowed(&self.oracle);
        let revoked = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| **before && !**after);
        self.oracle.counts.revocations += revoked.count() as u64;
    }

    async fn answers(&self, block: B256) -> Vec<String> {
        let call = |record: &BootRecord| {
            let data = Bytes::from(question::is_app_allowed(record));
            let call =
                json!({"from": Address::ZERO, "to": self.net.contract(), "data": data, "gas": "0x989680"});
            ("eth_call", json!([call, { "blockHash": block }]))
        };
        let calls: Vec<_> = self.records.iter().map(call).collect();
        let answers = self.honest(&calls).await;
        answers
            .iter()
            .map(|answer| {
                assert!(answer["error"].is_null(), "{block}: {answer}");
                // Before the contract was there, nothing was allowed.
                let bytes: Bytes = answer["result"].as_str().unwrap_or("0x").parse().unwrap();
                match decode_answer(&bytes) {
                    Ok(Answer::Allowed) => String::new(),
                    Ok(Answer::Denied(denial)) => denial.reason().to_owned(),
                    Err(error) => format!("(no answer: {error})"),
                }
            })
            .collect()
    }

    fn note_majority(&mut self) {
        let honest = Way::To(self.net.anvil.port());
        let up = self.gates.iter().filter(|gate| gate.way() == honest).count();
        self.oracle.majority(up >= 2);
    }

    fn set(&mut self, gate: usize, way: Way) {
        self.gates[gate].set(way);
        let heals = Instant::now() + LONGEST_FAULT.mul_f64(self.dice.below(100) as f64 / 100.0);
        self.faults[gate] = (way != Way::To(self.net.anvil.port())).then_some(heals);
        self.note_majority();
    }

    /// Ends the faults whose time has come.
    fn heal(&mut self, everything: bool) {
        let honest = Way::To(self.net.anvil.port());
        for gate in 0..self.gates.len() {
            if self.faults[gate].is_some_and(|end| everything || end <= Instant::now()) {
                self.set(gate, honest);
            }
        }
        if self.fork.is_some() && self.faults[self.forked].is_none() {
            self.fork = None;
        }
    }

    /// The bridge's clock follows the chain, whose time goes faster than the machine's.
    async fn follow_time(&self) {
        let head = self
            .honest(&[("eth_getBlockByNumber", json!(["latest", false]))])
            .await;
        let time = number(&head[0]["result"]["timestamp"]);
        let ahead = i64::try_from(time).unwrap() - i64::try_from(self.net.clock.now().0).unwrap();
        if !(-20..=0).contains(&ahead) {
            self.net.clock.advance(ahead);
        }
    }

    /// A transaction of the owner's, in a block of its own.
    async fn send(&self, url: &str, to: Address, data: Vec<u8>) {
        let from = self.net.anvil.addresses()[0];
        let transaction = json!([{"from": from, "to": to, "data": Bytes::from(data), "gas": "0x80000"}]);
        let answer = self
            .rpc(url.to_owned(), &[("eth_sendTransaction", transaction)])
            .await;
        assert!(answer[0]["error"].is_null(), "{answer:?}");
        self.rpc(url.to_owned(), &[("evm_mine", json!([]))]).await;
    }

    fn policy(&mut self) -> (String, Address, Vec<u8>) {
        let compose = self.dice.pick(&[COMPOSE, COMPOSE, ComposeHash::new([0xc1; 32])]);
        let compose_hash = B256::new(compose.to_bytes());
        let device = B256::new(
            self.dice
                .pick(&[LISTED, LISTED, DeviceId::new([0xdf; 32])])
                .to_bytes(),
        );
        let app = Address::new(self.net.app.to_bytes());
        let time = self.net.clock.now().0;
        let (name, to, data) = match self.dice.below(20) {
            0..=5 => (
                "allow",
                app,
                AppAuthority::addComposeHashCall {
                    composeHash: compose_hash,
                }
                .abi_encode(),
            ),
            6..=9 => (
                "revoke",
                app,
                AppAuthority::removeComposeHashCall {
                    composeHash: compose_hash,
                }
                .abi_encode(),
            ),
            10 => {
                let until = time + 61 + self.dice.below(40);
                let call = AppAuthority::addComposeHashUntilCall {
                    composeHash: compose_hash,
                    validUntil: until,
                };
                ("allow until", app, call.abi_encode())
            }
            11..=13 => (
                "add device",
                app,
                AppAuthority::addDeviceCall { deviceId: device }.abi_encode(),
            ),
            14 => (
                "remove device",
                app,
                AppAuthority::removeDeviceCall { deviceId: device }.abi_encode(),
            ),
            15..=18 => (
                "resume",
                self.net.contract(),
                KmsAuthority::setReleasePausedCall { paused: false }.abi_encode(),
            ),
            _ => (
                "pause",
                self.net.contract(),
                KmsAuthority::setReleasePausedCall { paused: true }.abi_encode(),
            ),
        };
        (name.to_owned(), to, data)
    }

    /// One random event.
    async fn step(&mut self, bridge: &Bridge) -> Result<(), String> {
        self.heal(false);
        let (began, url) = (Instant::now(), self.net.anvil.endpoint());
        let dice = self.dice.below(100);
        let name = match dice {
            0..=24 => {
                let count = self.dice.below(3) + 1;
                self.net.mine(count).await;
                format!("mine {count}")
            }
            25..=30 => {
                self.net.mine(25).await;
                "mine 25".to_owned()
            }
            31..=62 => {
                let (name, to, data) = self.policy();
                self.send(&url, to, data).await;
                name
            }
            63..=72 => self.reorganise().await,
            73..=83 => {
                let (gate, way) = (
                    self.dice.below(3) as usize,
                    self.dice.pick(&[Way::Cut, Way::Cut, Way::Stalled]),
                );
                self.set(gate, way);
                format!("{way:?} {gate}")
            }
            84..=85 => {
                (0..3).for_each(|gate| self.set(gate, Way::Cut));
                "cut all".to_owned()
            }
            86..=87 => self.fork().await,
            88..=92 => {
                self.heal(true);
                "heal".to_owned()
            }
            93 => self.jump(true).await,
            94 => self.jump(false).await,
            _ => {
                self.heal(true);
                self.caught_up(bridge).await?;
                "caught up".to_owned()
            }
        };
        self.log.push(name);
        self.record(began).await;
        self.follow_time().await;
        self.oracle.counts.steps += 1;
        Ok(())
    }

    /// Replaces blocks, with a change of policy among the new ones; never below what was ever final.
    async fn reorganise(&mut self) -> String {
        let (height, url) = (self.oracle.height(), self.net.anvil.endpoint());
        let lowest = self.oracle.highest().saturating_sub(2 * EPOCH - 1);
        let depth = (self.dice.below(DEEPEST) + 1).min(height.saturating_sub(lowest));
        if depth == 0 {
            self.net.mine(1).await;
            return "mine 1".to_owned();
        }
        let (name, to, data) = self.policy();
        self.oracle.counts.reorgs += 1;
        if self.dice.chance(50) {
            let from = self.net.anvil.addresses()[0];
            let transaction = json!({"from": from, "to": to, "data": Bytes::from(data), "gas": "0x80000"});
            self.net
                .raw(
                    "anvil_reorg",
                    json!([depth, [[transaction, self.dice.below(depth)]]]),
                )
                .await;
            return format!("reorg {depth}: {name}");
        }
        self.net.raw("anvil_rollback", json!([depth])).await;
        self.send(&url, to, data).await;
        let more = self.dice.below(depth + 2);
        if more > 0 {
            self.net.mine(more).await;
        }
        format!("rollback {depth}, mine {more}: {name}")
    }

    /// Another chain from some block on, behind one endpoint: frozen there, or allowing what the honest chain never did.
    async fn fork(&mut self) -> String {
        self.heal(true);
        let at = self.oracle.height() - self.dice.below(30);
        let fork = Anvil::at(tool("anvil")).args([
            "--fork-url",
            &self.net.anvil.endpoint(),
            "--fork-block-number",
            &at.to_string(),
            "--slots-in-an-epoch",
            &EPOCH.to_string(),
            "--no-storage-caching",
        ]);
        let fork = tokio::task::spawn_blocking(move || fork.try_spawn())
            .await
            .unwrap()
            .unwrap();
        let forged = self.dice.chance(60);
        if forged {
            let call = AppAuthority::addComposeHashCall {
                composeHash: B256::new(NEVER.to_bytes()),
            };
            self.rpc(fork.endpoint(), &[("evm_setAutomine", json!([false]))])
                .await;
            self.send(
                &fork.endpoint(),
                Address::new(self.net.app.to_bytes()),
                call.abi_encode(),
            )
            .await;
            self.rpc(fork.endpoint(), &[("anvil_mine", json!(["0x20"]))])
                .await;
        }
        self.forked = self.dice.below(3) as usize;
        self.set(self.forked, Way::To(fork.port()));
        self.fork = Some(fork);
        self.oracle.counts.forks += 1;
        format!(
            "{} {} from {at}",
            if forged { "forged" } else { "frozen" },
            self.forked
        )
    }

    /// Time passes without blocks until the head is too old, or the chain's time gets ahead of the clock.
    async fn jump(&mut self, chain_first: bool) -> String {
        let seconds = 70 + self.dice.below(60);
        if chain_first {
            self.net.raw("evm_increaseTime", json!([seconds])).await;
            self.net.mine(1).await;
        } else {
            self.net.clock.advance(i64::try_from(seconds).unwrap());
        }
        // Some decisions fall into it.
        tokio::time::sleep(Duration::from_millis(30)).await;
        if !chain_first {
            self.net.raw("evm_increaseTime", json!([seconds])).await;
            self.net.mine(1).await;
        }
        format!("jump {seconds} s, chain first: {chain_first}")
    }

    async fn caught_up(&mut self, bridge: &Bridge) -> Result<(), String> {
        let (head, began) = (self.oracle.head(), Instant::now());
        let mut changes = bridge.changes();
        let there =
            changes.wait_for(|status| status.head.is_some_and(|block| block.hash.to_bytes() == head.0));
        match tokio::time::timeout(BOUND, there).await {
            Ok(_) => {
                self.oracle.noticed(began, Instant::now());
                Ok(())
            }
            Err(_) => Err(format!(
                "I2: {head} not noticed within {BOUND:?}: {:?}",
                bridge.status()
            )),
        }
    }
}

/// Asks without end, as several callers do.
async fn ask(
    task: usize,
    bridge: Arc<Bridge>,
    records: Arc<Vec<BootRecord>>,
    seed: u64,
    stop: Arc<AtomicBool>,
    to: mpsc::UnboundedSender<Asked>,
) {
    let mut dice = Dice::new(seed ^ (task as u64 + 1));
    while !stop.load(Ordering::Relaxed) {
        let record = dice.pick(&[0, 0, 1, 2, 3]);
        let began = Instant::now();
        let result = bridge.decide(Subject::App, &records[record]).await;
        let ended = Instant::now();
        let _ = to.send(Asked {
            task,
            record,
            began,
            ended,
            result,
        });
        tokio::time::sleep(Duration::from_millis(dice.below(6))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_c5_c7_no_decision_contradicts_the_chain_through_random_events() {
    let seed = dice::seed("KEDGE_INVARIANTS_SEED");
    let steps = dice::number("KEDGE_INVARIANTS_STEPS").unwrap_or(600);
    eprintln!("KEDGE_INVARIANTS_SEED={seed} KEDGE_INVARIANTS_STEPS={steps}");
    let (mut field, config) = Field::new(seed).await;
    let bridge = Arc::new(field.net.bridge_with(config).await.unwrap());
    bridge.ready(BOUND).await.unwrap();
    let (stop, (to, mut from)) = (Arc::new(AtomicBool::new(false)), mpsc::unbounded_channel());
    let asking: Vec<_> = (0..TASKS)
        .map(|task| {
            tokio::spawn(ask(
                task,
                Arc::clone(&bridge),
                Arc::clone(&field.records),
                seed,
                Arc::clone(&stop),
                to.clone(),
            ))
        })
        .collect();
    drop(to);
    let started = Instant::now();
    for step in 0..steps {
        let stepped = field.step(&bridge).await;
        let mut asked = Vec::new();
        while let Ok(one) = from.try_recv() {
            asked.push(one);
        }
        if let Err(what) = stepped.and_then(|()| field.oracle.check(asked)) {
            let log = field
                .log
                .iter()
                .rev()
                .take(40)
                .rev()
                .cloned()
                .collect::<Vec<_>>()
                .join("\n  ");
            panic!(
                "step {step}: {what}\nafter:\n  {log}\nrun again with KEDGE_INVARIANTS_SEED={seed} KEDGE_INVARIANTS_STEPS={steps}"
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    for task in asking {
        task.await.unwrap();
    }
    let status = bridge.status();
    bridge.shutdown().await;
    let counts = &field.oracle.counts;
    eprintln!(
        "{counts:?}\n{} reorganisations noticed, deepest {}, {:?}",
        status.reorgs,
        status.deepest_reorg,
        started.elapsed()
    );
    assert!(!status.halted);
    // Without these the run would have shown nothing.
    let errors: u64 = counts.errors.values().sum();
    let met = [
        counts.grants,
        counts.denials,
        counts.not_yet_final,
        counts.reorgs,
        counts.revocations,
        counts.majority_lost,
        counts.forks,
        errors,
        status.reorgs,
    ];
    assert!(
        met.iter().all(|count| *count > 0),
        "{counts:?}, {} reorganisations noticed",
        status.reorgs
    );
}

#[tokio::test]
async fn c7_a_reorg_deeper_than_finality_stops_a_bridge_over_three_endpoints() {
    let (field, config) = Field::new(1).await;
    let bridge = field.net.bridge_with(config).await.unwrap();
    let decided = bridge.decide(Subject::App, &field.records[0]).await.unwrap();
    assert!(decided.is_allowed(), "{}", reason(&decided));
    field.net.raw("anvil_reorg", json!([2 * EPOCH + 1, []])).await;
    field.net.mine(1).await;
    let status = until(&bridge, |status| status.halted).await;
    assert!(status.last_error.unwrap().starts_with("finalized block "));
    for record in field.records.iter() {
        let error = bridge.decide(Subject::App, record).await.unwrap_err();
        assert!(matches!(error, BridgeError::Disagreement { .. }), "{error}");
    }
}
