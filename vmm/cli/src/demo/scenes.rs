//! The steps, in order, each with what must hold of it.

use super::{
    fingerprint::short,
    refusals::{foreign, refused, revoke, unregistered, wrong_compose},
    releases::{again, boot, other_app, other_instance, release},
    step,
    step::{Shown, Story},
};
use crate::cli::Demo;
use alloy::{eips::BlockId, providers::Provider};
use anvil_tests::{Account, Mined, Network, NetworkOptions, NodeOptions, OS_IMAGE, action};
use anyhow::{Context, Result};
use authority_contracts::abi::{AppAuthority, KmsAuthority};
use kms_types::{AppId, BlockHash, BlockRef, ComposeHash};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The sample app.
pub(super) const COMPOSE: &[u8] = include_bytes!("../../samples/app-compose.json");

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

pub(super) fn sent(mined: &Mined) -> Shown {
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
