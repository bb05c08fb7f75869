//! `kedge kms`: what a node says of itself beside what the chain says of it.

use crate::{
    cli::{Kms, Target},
    connection::{Connection, Role},
    exit::Refused,
    node,
    output::Output,
};
use anyhow::{Context, Result, bail};
use authority_contracts::abi::KmsAuthority as abi;
use kms_types::KeyEpoch;
use kms_wire::{EpochIdentity, Meta};
use serde_json::json;
use std::path::Path;

/// Largest answer that is read.
const MAX_META: usize = 256 * 1024;

/// Runs a subcommand.
///
/// # Errors
/// When the node or the chain cannot be asked, or they contradict each other.
pub(crate) async fn run(state: &Path, command: Kms, output: &Output) -> Result<()> {
    let Kms::Info { url, target } = command;
    info(state, url, &target, output).await
}

async fn info(state: &Path, url: Option<String>, target: &Target, output: &Output) -> Result<()> {
    let at = Connection::open(state, target, Role::Reader).await?;
    let dev = at
        .dev
        .as_ref()
        .and_then(|dev| dev.kms.as_ref())
        .map(|kms| kms.url.clone());
    let url = url
        .or(dev)
        .ok_or_else(|| Refused("no KMS node: name one with --url".to_owned()))?;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        bail!("--url: expected https://HOST:PORT, got {url}");
    }
    let meta = meta(&url).await?;
    let newest = meta.epochs.first().context("the node names no key epoch")?;
    let recorded = at
        .ask(
            at.authority,
            &abi::kmsIdentityCall {
                epoch: newest.key_epoch.0,
            },
        )
        .await?;
    let network = at.ask(at.authority, &abi::networkStateCall {}).await?;
    let same = recorded.caSpkiHash.0 == newest.kms_identity.to_bytes()
        && recorded.k256Pubkey.as_ref() == newest.k256_public_key.as_bytes()
        && recorded.hpkeKey.as_slice() == newest.hpke_public_key.as_bytes();
    output.result("KMS", &rows(&url, &meta, newest, &network, same));
    if same {
        Ok(())
    } else {
        let epoch: KeyEpoch = newest.key_epoch;
        Err(Refused(format!(
            "the node's identity in epoch {epoch} is not the one recorded on-chain: trust it with nothing"
        ))
        .into())
    }
}

fn rows<'a>(
    url: &str,
    meta: &Meta,
    newest: &EpochIdentity,
    network: &abi::NetworkState,
    same: bool,
) -> Vec<(&'a str, serde_json::Value)> {
    vec![
        ("url", json!(url)),
        ("version", json!(meta.version)),
        ("development", json!(meta.development)),
        ("chain id", json!(meta.chain_id)),
        ("authority", json!(meta.kms_authority)),
        ("kms app", json!(network.kmsAppId)),
        ("attestation roots", json!(network.attestationRoots)),
        ("releases paused", json!(network.releasePaused)),
        ("key epoch", json!(newest.key_epoch)),
        ("least key epoch", json!(network.minKeyEpoch)),
        ("kms identity", json!(newest.kms_identity)),
        ("identity as recorded on-chain", json!(same)),
        ("signing key", json!(newest.k256_public_key)),
        ("log key", json!(newest.log_public_key)),
        ("head", json!(meta.head.map(|block| block.block_ref()))),
        ("finalized", json!(meta.finalized.map(|block| block.block_ref()))),
        (
            "releases in the log",
            json!(meta.tree_head.as_ref().map_or(0, |head| head.size)),
        ),
    ]
}

async fn meta(url: &str) -> Result<Meta> {
    let body = node::get(url, "/v1/meta", MAX_META).await?;
    serde_json::from_slice(&body).context("the answer of the KMS")
}
