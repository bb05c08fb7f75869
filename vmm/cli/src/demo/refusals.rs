//! The steps in which keys are refused, each with the reason it must have.

use super::{
    client::{Outcome, Vm},
    scenes::{COMPOSE, sent},
    step::Shown,
};
use anvil_tests::{Account, AppSpec, Mined, Network};
use anyhow::Result;
use authority_contracts::abi::AppAuthority;
use kms_types::{AppId, ComposeHash};
use kms_wire::{Problem, ProblemCode};
use serde_json::json;
use soft_td::{PlatformConfig, PlatformSeed, SimImage, SoftPlatform, TdConfig};
use std::{sync::Arc, time::Instant};
use td_quote::Td;

/// Longest time from a revocation's block to the first refusal.
const PROMPT_MS: u128 = 5_000;

pub(super) async fn wrong_compose(network: &Network, app: AppId) -> Result<((), Shown)> {
    let changed = String::from_utf8_lossy(COMPOSE).replace("\"GREETING\"", "\"GREETING\", \"LD_PRELOAD\"");
    let vm = Vm::boot(network, AppSpec::new(app, changed.as_bytes(), "first"))?;
    let problem = refusal(vm.ask(network).await?)?;
    let shown = denied(&problem, "compose_hash_not_allowed")
        .fact("change", "one more environment variable in the document")
        .fact("compose hash", json!(vm.spec.boot.compose_hash));
    Ok(((), shown))
}

pub(super) async fn unregistered(network: &Network) -> Result<((), Shown)> {
    let app = AppId::new(network.sender(Account::Stranger).await?.address().to_bytes());
    let vm = Vm::boot(network, AppSpec::new(app, COMPOSE, "first"))?;
    let problem = refusal(vm.ask(network).await?)?;
    Ok(((), denied(&problem, "app_not_registered").fact("app", json!(app))))
}

pub(super) async fn foreign(network: &Network, app: AppId) -> Result<((), Shown)> {
    let platform = SoftPlatform::new(
        PlatformSeed::public("somebody else's platform"),
        PlatformConfig::default(),
    )?;
    let spec = AppSpec::new(app, COMPOSE, "first");
    let mut config = TdConfig::new(SimImage::new(&spec.image)?.measurement(&spec.shape)?);
    config.mr_config_id = spec.boot.mr_config_id();
    let td = platform.launch(config);
    for event in spec.boot.events()? {
        td.extend(&event.event, event.payload_hex.as_bytes())?;
    }
    let problem = refusal(Vm::on(spec, Arc::new(td)).ask(network).await?)?;
    let check = problem.check.clone().unwrap_or_default();
    let shown = Shown {
        reason: Some(problem.detail.clone()),
        ..Shown::default()
    }
    .fact("its root", json!(platform.root()))
    .fact("everything else", "the same: document, OS image, events")
    .fact("check", json!(check))
    .must(
        problem.code == ProblemCode::AttestationFailed && check == "Q1",
        "attestation_failed by check Q1",
    );
    Ok(((), shown))
}

/// A revocation, and when its receipt was seen.
pub(super) struct Revoked {
    mined: Mined,
    seen: Instant,
}

pub(super) async fn revoke(network: &Network, app: AppId) -> Result<(Revoked, Shown)> {
    let compose = ComposeHash::of(COMPOSE);
    let call = AppAuthority::removeComposeHashCall {
        composeHash: compose.to_bytes().into(),
    };
    let mined = network.manage(Account::AppOwner, app, &call).await?;
    let seen = Instant::now();
    let shown = sent(&mined).fact("compose hash", json!(compose));
    Ok((Revoked { mined, seen }, shown))
}

pub(super) async fn refused(network: &Network, vm: &Vm, revoked: &Revoked) -> Result<((), Shown)> {
    let mut late = 0;
    let problem = loop {
        match vm.ask(network).await? {
            Outcome::Refused(problem) => break problem,
            Outcome::Released(_) => late += 1,
        }
        anyhow::ensure!(
            revoked.seen.elapsed().as_millis() < PROMPT_MS,
            "still released {PROMPT_MS} ms after the revocation's block"
        );
    };
    let took = revoked.seen.elapsed().as_millis();
    let at = problem.block;
    let prompt = at.is_some_and(|block| block.number >= revoked.mined.block.number);
    let shown = denied(&problem, "compose_hash_not_allowed")
        .fact("revoked in block", revoked.mined.block.number)
        .fact("from its block to the refusal", format!("{took} ms"))
        .fact("releases in between", late)
        .must(prompt, "a refusal at or after the revocation's block");
    Ok((
        (),
        Shown {
            figures: vec![("revoke_to_refusal_ms", json!(u64::try_from(took)?))],
            ..shown
        },
    ))
}

fn refusal(outcome: Outcome) -> Result<Box<Problem>> {
    match outcome {
        Outcome::Refused(problem) => Ok(problem),
        Outcome::Released(_) => anyhow::bail!("expected a refusal, got keys"),
    }
}

fn denied(problem: &Problem, code: &str) -> Shown {
    let reason = problem.reason.clone().unwrap_or_else(|| problem.detail.clone());
    let as_should = problem.code == ProblemCode::Denied && reason.split(':').next() == Some(code);
    Shown {
        reason: Some(reason),
        block: problem.block,
        ..Shown::default()
    }
    .must(as_should, &format!("denied with {code}, got {:?}", problem.code))
    .must(problem.block.is_some(), "the block that decided")
}
