//! The steps, in order, each with what must hold of it.

use super::{
    client::{Keys, Outcome, Vm},
    fingerprint::{Fingerprints, short},
    step,
    step::{Shown, Story},
};
use crate::cli::Demo;
use alloy::{eips::BlockId, providers::Provider};
use anvil_tests::{Account, AppSpec, Mined, Network, NetworkOptions, NodeOptions, OS_IMAGE, action};
use anyhow::{Context, Result};
use authority_contracts::abi::{AppAuthority, KmsAuthority};
use kms_types::{AppId, BlockHash, BlockRef, ComposeHash};
use kms_wire::{Problem, ProblemCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use soft_td::{PlatformConfig, PlatformSeed, SimImage, SoftPlatform, TdConfig};
use std::{sync::Arc, time::Instant};
use td_quote::Td;

/// The sample app.
const COMPOSE: &[u8] = include_bytes!("../../samples/app-compose.json");
/// Longest time from a revocation's block to the first refusal.
const PROMPT_MS: u128 = 5_000;

/// Plays every step.
///
/// # Errors
/// At the first that did not do what it should.
pub(super) async fn play(options: &Demo, story: &mut Story) -> Result<()> {
    let mut network = step(
        story,
        "network",
        "A chain, the contracts, a software TDX platform",
        start(),
    )
    .await?;
    if options.keep {
        network.folder_mut().keep();
    }
    let played = acts(story, &mut network).await;
    if options.keep {
        eprintln!("kept: {}", network.folder().path().display());
    }
    network.stop().await?;
    played
}

async fn acts(story: &mut Story, network: &mut Network) -> Result<()> {
    step(
        story,
        "os-image",
        "The network's owner allows an OS image",
        allow_os(network),
    )
    .await?;
    step(
        story,
        "kms",
        "A KMS node makes its root and shows that it may serve",
        start_kms(network),
    )
    .await?;
    let app = step(story, "app", "An app owner registers an app", create_app(network)).await?;
    let network: &Network = network;
    let vm = step(
        story,
        "boot",
        "A host boots the app in a confidential VM",
        boot(network, app),
    )
    .await?;
    let first = step(
        story,
        "release",
        "The VM asks for its keys: released",
        release(network, &vm),
    )
    .await?;
    step(
        story,
        "same-instance",
        "It asks again: the same keys",
        again(network, &vm, &first),
    )
    .await?;
    step(
        story,
        "other-instance",
        "Another instance: another disk key",
        other_instance(network, app, &first),
    )
    .await?;
    step(
        story,
        "other-app",
        "Another app: other keys",
        other_app(network, &first),
    )
    .await?;
    step(
        story,
        "wrong-compose",
        "The host changes the app: refused",
        wrong_compose(network, app),
    )
    .await?;
    step(
        story,
        "unregistered-app",
        "An app nobody registered: refused",
        unregistered(network),
    )
    .await?;
    step(
        story,
        "foreign-platform",
        "A platform the contract does not list: refused",
        foreign(network, app),
    )
    .await?;
    let revoked = step(
        story,
        "revoke",
        "The app owner revokes the document",
        revoke(network, app),
    )
    .await?;
    step(
        story,
        "refused",
        "The VM asks again: refused",
        refused(network, &vm, &revoked),
    )
    .await
}

async fn start() -> Result<(Network, Shown)> {
    let options = NetworkOptions {
        node: None,
        allow_os_image: false,
        ..NetworkOptions::default()
    };
    let network = Network::start(options).await?;
    let description = network.description().clone();
    let roots = network.sender(Account::NetworkOwner).await?;
    let roots = roots
        .ask(
            "attestationRoots",
            network.authority(),
            &KmsAuthority::attestationRootsCall {},
        )
        .await?;
    let listed = roots
        .iter()
        .map(|root| root.0)
        .eq([description.attestation_root.to_bytes()]);
    let shown = Shown::default()
        .fact(
            "chain",
            format!(
                "Anvil at {}, id {}, a block a second, final after two",
                description.rpc_url, description.chain_id
            ),
        )
        .fact("KmsAuthority", json!(description.kms_authority))
        .fact("platform root", json!(description.attestation_root))
        .fact("listed by the contract", listed)
        .fact(
            "collateral",
            format!("{} (shape of Intel's PCS)", description.pcs_url),
        )
        .must(
            listed,
            "the contract lists the software platform's root and no other",
        );
    Ok((network, shown))
}

/// The newest block.
async fn head(network: &Network) -> Result<BlockRef> {
    let block = network
        .anvil()
        .provider()
        .get_block(BlockId::latest())
        .await?
        .context("no head")?;
    Ok(BlockRef {
        number: block.header.number,
        hash: BlockHash::new(block.header.hash.0),
    })
}

async fn allow_os(network: &Network) -> Result<((), Shown)> {
    let hash = network.description().os_image_hash;
    let call = KmsAuthority::addOsImageHashCall {
        osImageHash: hash.to_bytes().into(),
    };
    let mined = network.govern(Account::NetworkOwner, &call).await?;
    let shown = sent(&mined)
        .fact("image", OS_IMAGE)
        .fact("hash", json!(hash))
        .fact(
            "covers",
            format!(
                "{} VM shapes, as leaves of a Merkle tree",
                network.catalogue().measurements().len()
            ),
        );
    Ok(((), shown))
}

async fn start_kms(network: &mut Network) -> Result<((), Shown)> {
    network.start_kms(NodeOptions::default()).await?;
    let description = network.description();
    let identity = network.node()?.identity();
    let owner = network.sender(Account::NetworkOwner).await?;
    let call = KmsAuthority::kmsIdentityCall {
        epoch: identity.key_epoch.0,
    };
    let recorded = owner.ask("kmsIdentity", network.authority(), &call).await?;
    let same = recorded.caSpkiHash.0 == identity.kms_identity.to_bytes()
        && recorded.k256Pubkey.as_ref() == identity.k256_public_key.as_bytes();
    let shown = Shown::default()
        .fact("node", network.node()?.url())
        .fact("its own app", json!(description.kms_app_id))
        .fact("root", "made inside its TD, sealed by it; never leaves it")
        .fact("identity", json!(identity.kms_identity))
        .fact(
            "signing key",
            short(&Sha256::digest(identity.k256_public_key.as_bytes())),
        )
        .fact("key epoch", identity.key_epoch.0)
        .fact("recorded on-chain", same)
        .fact("ready", "it attested itself, and the contract allows it")
        .block(head(network).await?)
        .must(same, "the chain records the identity the node has");
    Ok(((), shown))
}

async fn create_app(network: &Network) -> Result<(AppId, Shown)> {
    let compose = ComposeHash::of(COMPOSE);
    let owner = network.sender(Account::AppOwner).await?;
    let call = KmsAuthority::deployAndRegisterApp_1Call {
        _0: owner.address().to_bytes().into(),
        _1: false,
        _2: true,
        _3: true,
        _4: [0; 32].into(),
        _5: compose.to_bytes().into(),
    };
    let mined = network.govern(Account::AppOwner, &call).await?;
    let app = crate::app::deployed(&mined)?;
    network.finalize().await?;
    let call = AppAuthority::allowedComposeHashesCall {
        composeHash: compose.to_bytes().into(),
    };
    let allowed = owner.ask("allowedComposeHashes", app_address(app), &call).await?;
    let shown = sent(&mined)
        .fact("app", json!(app))
        .fact("owner", json!(owner.address()))
        .fact("document", "vmm/cli/samples/app-compose.json")
        .fact("compose hash", json!(compose))
        .fact(
            "rules",
            "this document, TCB status UpToDate, any device the network accepts",
        )
        .fact("final", true)
        .must(allowed, "the app's authority allows the document");
    Ok((app, shown))
}

async fn boot(network: &Network, app: AppId) -> Result<(Vm, Shown)> {
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

async fn release(network: &Network, vm: &Vm) -> Result<(Fingerprints, Shown)> {
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

async fn again(network: &Network, vm: &Vm, first: &Fingerprints) -> Result<((), Shown)> {
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

async fn other_instance(network: &Network, app: AppId, first: &Fingerprints) -> Result<((), Shown)> {
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

async fn other_app(network: &Network, first: &Fingerprints) -> Result<((), Shown)> {
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

async fn wrong_compose(network: &Network, app: AppId) -> Result<((), Shown)> {
    let changed = String::from_utf8_lossy(COMPOSE).replace("\"GREETING\"", "\"GREETING\", \"LD_PRELOAD\"");
    let vm = Vm::boot(network, AppSpec::new(app, changed.as_bytes(), "first"))?;
    let problem = refusal(vm.ask(network).await?)?;
    let shown = denied(&problem, "compose_hash_not_allowed")
        .fact("change", "one more environment variable in the document")
        .fact("compose hash", json!(vm.spec.boot.compose_hash));
    Ok(((), shown))
}

async fn unregistered(network: &Network) -> Result<((), Shown)> {
    let app = AppId::new(network.sender(Account::Stranger).await?.address().to_bytes());
    let vm = Vm::boot(network, AppSpec::new(app, COMPOSE, "first"))?;
    let problem = refusal(vm.ask(network).await?)?;
    Ok(((), denied(&problem, "app_not_registered").fact("app", json!(app))))
}

async fn foreign(network: &Network, app: AppId) -> Result<((), Shown)> {
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
struct Revoked {
    mined: Mined,
    seen: Instant,
}

async fn revoke(network: &Network, app: AppId) -> Result<(Revoked, Shown)> {
    let compose = ComposeHash::of(COMPOSE);
    let call = AppAuthority::removeComposeHashCall {
        composeHash: compose.to_bytes().into(),
    };
    let mined = network.manage(Account::AppOwner, app, &call).await?;
    let seen = Instant::now();
    let shown = sent(&mined).fact("compose hash", json!(compose));
    Ok((Revoked { mined, seen }, shown))
}

async fn refused(network: &Network, vm: &Vm, revoked: &Revoked) -> Result<((), Shown)> {
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

fn keys(outcome: Outcome) -> Result<Box<Keys>> {
    match outcome {
        Outcome::Released(keys) => Ok(keys),
        Outcome::Refused(problem) => Err(unexpected(&problem)),
    }
}

fn refusal(outcome: Outcome) -> Result<Box<Problem>> {
    match outcome {
        Outcome::Refused(problem) => Ok(problem),
        Outcome::Released(_) => anyhow::bail!("expected a refusal, got keys"),
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

fn sent(mined: &Mined) -> Shown {
    let action::Action {
        contract,
        function,
        arguments,
        ..
    } = &mined.action;
    Shown::default()
        .fact("transaction", format!("{contract}.{function}({arguments})"))
        .block(mined.block)
}

fn app_address(app: AppId) -> kms_types::ChainAddress {
    kms_types::ChainAddress::new(app.to_bytes())
}
