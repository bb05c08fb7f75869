//! What is executed here over proven state is what Anvil's own `eth_call` says at the same block, byte for byte, for
//! random policies, contracts of apps, blocks and records. A difference is reported with the seed that gives it again.

use crate::{
    cases::{Asked, Case, case},
    dice::{self, Dice},
    world::World,
};
use alloy::primitives::{Address, B256, Bytes};
use authority_bridge::{Bridge, BridgeConfig, BridgeError, Decided, Facts, Finality, Verdict};
use authority_contracts::{Answer, decode_answer};
use authority_policy::PolicyError;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Cases asked at one block, unless the environment says otherwise, and states of one world before the next one.
const PER_STATE: usize = 20;
const STATES: usize = 50;
/// Bytes of revert data an error carries.
const SHOWN: usize = 68;

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    Returned(Bytes),
    Reverted(Bytes),
    /// Out of gas, or an instruction that is none.
    Halted,
    /// Not executed to the end.
    Refused(String),
}

/// Answers by kind; a run that only met a few kinds has shown little.
#[derive(Default)]
struct Tally {
    cases: usize,
    states: usize,
    codes: BTreeMap<String, usize>,
    apps: BTreeSet<Address>,
}

impl Tally {
    fn count(&mut self, kind: &str) {
        *self.codes.entry(kind.to_owned()).or_default() += 1;
    }
    fn of(&self, kind: &str) -> usize {
        self.codes.get(kind).copied().unwrap_or_default()
    }
}

/// What `eth_call` said at the head and at the finalized block.
struct Said {
    head: Ended,
    finalized: Ended,
}

fn config(world: &World) -> BridgeConfig {
    BridgeConfig {
        poll_interval: Duration::from_millis(5),
        decision_timeout: Duration::from_secs(60),
        request_timeout: Duration::from_secs(30),
        // The world's time is not the machine's.
        max_head_age_s: u64::MAX / 4,
        max_clock_skew_s: u64::MAX / 4,
        ..world.net.config()
    }
}

async fn eth_calls(world: &World, cases: &[Case], block: B256) -> Vec<Ended> {
    let request = |case: &Case| {
        let call =
            json!({"from": Address::ZERO, "to": world.net.contract(), "data": case.data, "gas": "0x989680"});
        ("eth_call", json!([call, { "blockHash": block }]))
    };
    let answers = world.rpc(cases.iter().map(request).collect()).await;
    answers.iter().map(ended).collect()
}

fn ended(answer: &Value) -> Ended {
    let bytes = |value: &Value| value.as_str().map(|text| text.parse::<Bytes>().unwrap());
    if let Some(returned) = bytes(&answer["result"]) {
        return Ended::Returned(returned);
    }
    let error = &answer["error"];
    match bytes(&error["data"]) {
        Some(reverted) => Ended::Reverted(reverted),
        None if error["message"]
            .as_str()
            .is_some_and(|text| text.contains("reverted")) =>
        {
            Ended::Reverted(Bytes::new())
        }
        None => Ended::Halted,
    }
}

/// The decision that follows from two answers of the chain itself; `None` when there must be none.
fn expected(said: &Said) -> Option<(Verdict, Finality)> {
    let read = |ended: &Ended| match ended {
        Ended::Returned(bytes) => decode_answer(bytes).ok(),
        _ => None,
    };
    let words = |reason: &str| reason.replace(char::is_control, "\u{fffd}");
    match (read(&said.head)?, read(&said.finalized)) {
        (Answer::Denied(denial), _) => {
            let reason = words(denial.reason());
            Some((Verdict::Denied { reason }, Finality::Head))
        }
        (Answer::Allowed, Some(Answer::Allowed)) => Some((Verdict::Allowed, Finality::Finalized)),
        (Answer::Allowed, Some(Answer::Denied(denial))) => {
            let reason = format!("not_yet_final: {}", words(denial.reason()));
            Some((Verdict::Denied { reason }, Finality::Finalized))
        }
        (Answer::Allowed, None) => None,
    }
}

fn code(reason: &str) -> String {
    let code = reason.split(':').next().unwrap_or_default();
    code.chars().take(40).collect()
}

/// Compares a decision with the chain's own answers.
fn compare(
    case: &Case,
    said: &Said,
    decided: &Result<Decided, BridgeError>,
    tally: &mut Tally,
) -> Result<(), String> {
    let wanted = expected(said);
    match (decided, wanted) {
        (Ok(decided), Some((verdict, by))) => {
            if (&decided.verdict, decided.decided_by) != (&verdict, by) {
                return Err(format!(
                    "expected {verdict:?} by {by:?}, got {:?} by {:?}",
                    decided.verdict, decided.decided_by
                ));
            }
            match &verdict {
                Verdict::Allowed => tally.count("allowed"),
                Verdict::Denied { reason } => tally.count(&code(reason)),
            }
        }
        (Err(BridgeError::Contract { .. }), None) => tally.count("(no decision: contract)"),
        (Err(_), _) if case.bounded => tally.count("(no decision: bounds)"),
        (got, wanted) => return Err(format!("expected {wanted:?}, got {got:?}")),
    }
    Ok(())
}

/// Compares what a call returned with the chain's own answer.
fn compare_bytes(case: &Case, said: &Ended, got: &Ended, tally: &mut Tally) -> Result<(), String> {
    let shown = match said {
        Ended::Reverted(data) => Ended::Reverted(data.iter().take(SHOWN).copied().collect::<Vec<_>>().into()),
        other => other.clone(),
    };
    match got {
        Ended::Refused(_) if case.bounded => tally.count("(refused: bounds)"),
        got if *got != shown => return Err(format!("expected {shown:?}, got {got:?}")),
        Ended::Reverted(_) => tally.count("(reverted)"),
        Ended::Halted => tally.count("(halted)"),
        _ => tally.count("(returned)"),
    }
    Ok(())
}

/// The same call over proven state.
async fn called(bridge: &Bridge, case: &Case, head: B256) -> Ended {
    match bridge.call(case.data.clone()).await {
        Ok(called) => {
            assert_eq!(called.block.hash.to_bytes(), head.0);
            Ended::Returned(called.output)
        }
        Err(BridgeError::Contract { fault, .. }) => match *fault {
            PolicyError::Reverted { data, .. } => Ended::Reverted(data.parse().unwrap()),
            PolicyError::Halted { .. } => Ended::Halted,
            other => Ended::Refused(other.to_string()),
        },
        Err(other) => Ended::Refused(other.to_string()),
    }
}

async fn state(
    world: &World,
    bridge: &Bridge,
    dice: &mut Dice,
    count: usize,
    tally: &mut Tally,
) -> Result<(), String> {
    let tip = world
        .rpc(vec![
            ("eth_getBlockByNumber", json!(["latest", false])),
            ("eth_getBlockByNumber", json!(["finalized", false])),
        ])
        .await;
    let [head, finalized] = [0, 1].map(|index: usize| {
        tip[index]["result"]["hash"]
            .as_str()
            .unwrap()
            .parse::<B256>()
            .unwrap()
    });
    let is_there = |status: &authority_bridge::ChainStatus| {
        status.head.is_some_and(|block| block.hash.to_bytes() == head.0)
    };
    crate::fixture::until(bridge, is_there).await;
    let cases: Vec<Case> = (0..count).map(|_| case(world, dice)).collect();
    let (at_head, at_finalized) = tokio::join!(
        eth_calls(world, &cases, head),
        eth_calls(world, &cases, finalized)
    );
    let decisions = join_all(cases.iter().map(|case| async {
        match &case.asked {
            Asked::Record(subject, record) => Some(bridge.decide(*subject, record).await),
            Asked::Info(subject, record) => {
                let facts = Facts::Info(record.info.clone());
                Some(bridge.ask(*subject, &facts).await)
            }
            Asked::Raw(..) => None,
        }
    }));
    let calls = join_all(cases.iter().map(|case| called(bridge, case, head)));
    let (decisions, calls) = tokio::join!(decisions, calls);
    for (index, case) in cases.iter().enumerate() {
        let said = Said {
            head: at_head[index].clone(),
            finalized: at_finalized[index].clone(),
        };
        let compared = match (&case.asked, &decisions[index]) {
            (Asked::Record(_, record) | Asked::Info(_, record), Some(decided)) => {
                tally.apps.insert(Address::new(record.info.app_id.to_bytes()));
                compare(case, &said, decided, tally)
            }
            (Asked::Raw(name, _), _) => {
                tally.count(&format!("({name})"));
                Ok(())
            }
            _ => Ok(()),
        };
        let bytes = compare_bytes(case, &said.head, &calls[index], tally);
        tally.cases += 1;
        compared.and(bytes).map_err(|what| {
            format!(
                "{what}\ncall: {}\n{:?}\neth_call: {:?}, finalized {:?}",
                case.data, case.asked, said.head, said.finalized
            )
        })?;
    }
    tally.states += 1;
    Ok(())
}

async fn world(seed: u64, (cases, per_state): (usize, usize), tally: &mut Tally) {
    let mut dice = Dice::new(seed);
    let mut world = World::new().await;
    let bridge = world.net.bridge_with(config(&world)).await.unwrap();
    let goal = tally.cases + cases;
    while tally.cases < goal {
        world.change(&mut dice).await;
        let count = per_state.min(goal - tally.cases);
        if let Err(what) = state(&world, &bridge, &mut dice, count, tally).await {
            let log = world.log.join("\n  ");
            panic!(
                "{what}\nat time {}\nafter:\n  {log}\nrun again with KEDGE_DIFFERENTIAL_SEED={seed} KEDGE_DIFFERENTIAL_CASES={cases} KEDGE_DIFFERENTIAL_PER_STATE={per_state}",
                world.now
            );
        }
    }
    assert!(!bridge.status().halted);
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_execution_equals_eth_call_in_random_worlds() {
    let seed = dice::seed("KEDGE_DIFFERENTIAL_SEED");
    let from =
        |name: &str, other: usize| dice::number(name).map_or(other, |count| usize::try_from(count).unwrap());
    let cases = from("KEDGE_DIFFERENTIAL_CASES", 2_000);
    let per_state = from("KEDGE_DIFFERENTIAL_PER_STATE", PER_STATE);
    eprintln!(
        "KEDGE_DIFFERENTIAL_SEED={seed} KEDGE_DIFFERENTIAL_CASES={cases} KEDGE_DIFFERENTIAL_PER_STATE={per_state}"
    );
    let (mut tally, started) = (Tally::default(), Instant::now());
    let mut index = 0;
    while tally.cases < cases {
        let count = (per_state * STATES).min(cases - tally.cases);
        world(seed.wrapping_add(index), (count, per_state), &mut tally).await;
        index += 1;
        eprintln!(
            "{} cases in {} states, {:?}",
            tally.cases,
            tally.states,
            started.elapsed()
        );
    }
    eprintln!("{:#?}\n{} apps", tally.codes, tally.apps.len());
    // A world that denies or allows everything would agree with anything.
    if cases >= 2_000 {
        for kind in [
            "allowed",
            "not_yet_final",
            "expired",
            "compose_hash_notice_until",
            "(reverted)",
            "(returned)",
        ] {
            assert!(tally.of(kind) > 0, "no case was {kind}: {:?}", tally.codes);
        }
        assert!(tally.of("allowed") * 20 > cases, "{:?}", tally.codes);
        assert!(tally.codes.len() > 25, "{:?}", tally.codes);
    }
}
