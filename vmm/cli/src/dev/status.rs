//! `dev status`: what runs where.

use super::{keeper_of, running};
use crate::output::Output;
use alloy::{
    eips::BlockId,
    providers::{Provider, ProviderBuilder},
};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// Shows the network of a folder.
///
/// # Errors
/// When none runs there.
pub(super) async fn status(state: &Path, output: &Output) -> Result<()> {
    let network = running(state)?;
    let keeper = keeper_of(state)?;
    let provider = ProviderBuilder::new().connect_http(network.rpc_url.parse().context("endpoint")?);
    let (head, finalized) = (
        block(&provider, BlockId::latest()).await,
        block(&provider, BlockId::finalized()).await,
    );
    let kms = network.kms.as_ref();
    output.result(
        "development network",
        &[
            ("folder", json!(state)),
            ("process", json!(keeper.map(|keeper| keeper.pid))),
            ("chain", json!(network.rpc_url)),
            ("chain id", json!(network.chain_id)),
            ("head", head),
            ("finalized", finalized),
            ("authority", json!(network.kms_authority)),
            ("attestation root", json!(network.attestation_root)),
            ("OS image", json!(network.os_image_hash)),
            ("collateral", json!(network.pcs_url)),
            ("KMS", json!(kms.map(|kms| &kms.url))),
            ("KMS identity", json!(kms.map(|kms| kms.identity))),
            ("KMS app", json!(network.kms_app_id)),
            ("key epoch", json!(kms.map(|kms| kms.key_epoch))),
        ],
    );
    Ok(())
}

async fn block(provider: &impl Provider, id: BlockId) -> Value {
    let asked = tokio::time::timeout(Duration::from_secs(3), provider.get_block(id)).await;
    match asked {
        Ok(Ok(Some(block))) => json!(block.header.number),
        _ => Value::Null,
    }
}
