//! The steps in which keys are released, and what must be the same and what different.

use super::{
    client::{Keys, Outcome, Vm},
    fingerprint::Fingerprints,
    scenes::COMPOSE,
    step::Shown,
};
use anvil_tests::{AppSpec, Network};
use anyhow::{Context, Result};
use kms_types::AppId;
use kms_wire::Problem;
use serde_json::{Value, json};
use td_quote::Td;

pub(super) async fn boot(network: &Network, app: AppId) -> Result<(Vm, Shown)> {
    let vm = Vm::boot(network, AppSpec::new(app, COMPOSE, "first"))?;
    let events: Vec<Value> = vm
        .td()
        .event_log()?
        .iter()
        .map(|entry| json!(entry.event))
        .collect();
    let shown = Shown::default()
        .fact("device", json!(vm.device(network)?))
        .fact("instance", json!(vm.spec.instance_id()))
        .fact("MRTD", json!(vm.td().config().measurement.mrtd))
        .fact("MRCONFIGID", json!(vm.td().config().mr_config_id))
        .fact("RTMR3", json!(vm.td().rtmr3()))
        .fact(
            "extended by",
            json!(
                events
                    .iter()
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(" → ")
            ),
        );
    Ok((vm, shown))
}

pub(super) async fn release(network: &Network, vm: &Vm) -> Result<(Fingerprints, Shown)> {
    match vm.ask_for_grant(network).await? {
        Outcome::Refused(problem) => Err(unexpected(&problem)),
        Outcome::Released(keys) => {
            let decision = &keys.response.decision;
            let checks: Vec<Value> = keys
                .checks
                .iter()
                .map(|check| json!(format!("{} {}: {}", check.id, check.expected, check.actual)))
                .collect();
            let instance = vm.spec.instance_id().context("instance")?;
            let asked = json!([
                format!("app {}", vm.spec.boot.app_id),
                format!("instance {instance}"),
                format!("on device {}", vm.device(network)?),
            ]);
            let all = keys.checks.iter().all(|check| check.ok);
            let shown = released(&keys)
                .fact("asked", asked)
                .fact("checked", checks)
                .fact(
                    "allowed by",
                    format!("contract {} over proven state", decision.contract),
                )
                .fact("at head", decision.head.block_ref().to_string())
                .fact("and finalized", decision.finalized.block_ref().to_string())
                .fact(
                    "logged",
                    format!(
                        "entry {} of {}",
                        keys.response.log.index, keys.response.log.tree_head.size
                    ),
                )
                .fact(
                    "sealed to",
                    "the key inside the quote; answer signed by the KMS recorded on-chain",
                )
                .fact("took", format!("{} ms", keys.took.as_millis()))
                .must(all, "every check holds when run again here");
            Ok((keys.fingerprints.clone(), shown))
        }
    }
}

pub(super) async fn again(network: &Network, vm: &Vm, first: &Fingerprints) -> Result<((), Shown)> {
    let keys = keys(vm.ask(network).await?)?;
    let same = keys.fingerprints == *first;
    let shown = released(&keys)
        .fact(
            "took",
            format!(
                "{} ms, with a fresh challenge and a fresh quote",
                keys.took.as_millis()
            ),
        )
        .fact("same as before", same)
        .must(same, "the same keys as at the first request");
    Ok(((), shown))
}

pub(super) async fn other_instance(
    network: &Network,
    app: AppId,
    first: &Fingerprints,
) -> Result<((), Shown)> {
    let vm = Vm::boot(network, AppSpec::new(app, COMPOSE, "second"))?;
    let keys = keys(vm.ask(network).await?)?;
    let (own_disk, same_app) = (
        keys.fingerprints.disk != first.disk,
        keys.fingerprints.app == first.app,
    );
    let shown = released(&keys)
        .fact("instance", json!(vm.spec.instance_id()))
        .fact("own disk key", own_disk)
        .fact("same app key", same_app)
        .must(own_disk && same_app, "another disk key and the same app key");
    Ok(((), shown))
}

pub(super) async fn other_app(network: &Network, first: &Fingerprints) -> Result<((), Shown)> {
    let app = network.create_app_for(COMPOSE).await?;
    network.finalize().await?;
    let vm = Vm::boot(network, AppSpec::new(app, COMPOSE, "first"))?;
    let keys = keys(vm.ask_for_grant(network).await?)?;
    let new = &keys.fingerprints;
    let other = new.disk != first.disk && new.env != first.env && new.app != first.app && new.ca != first.ca;
    let shown = released(&keys)
        .fact("app", json!(app))
        .fact("document", "the same")
        .fact("all keys differ", other)
        .must(other, "no key in common with the first app");
    Ok(((), shown))
}

fn keys(outcome: Outcome) -> Result<Box<Keys>> {
    match outcome {
        Outcome::Released(keys) => Ok(keys),
        Outcome::Refused(problem) => Err(unexpected(&problem)),
    }
}

fn unexpected(problem: &Problem) -> anyhow::Error {
    anyhow::anyhow!("expected keys, got {:?}: {}", problem.code, problem.detail)
}

fn released(keys: &Keys) -> Shown {
    Shown {
        keys: Some(keys.fingerprints.clone()),
        ..Shown::default()
    }
    .block(keys.response.decision.head.block_ref())
}
