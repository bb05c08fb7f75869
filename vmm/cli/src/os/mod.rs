//! `kedge os`: the OS images a network allows, and a VM of one on this machine.

mod boot;
mod difference;
mod explain;
mod measure;
mod terminal;
mod tools;
mod verify;

use crate::{
    cli::{Image, Os},
    connection::{Connection, Effect, Role},
    exit::Refused,
    output::Output,
};
use alloy::{primitives::FixedBytes, providers::Provider, rpc::types::Filter, sol_types::SolEvent};
use anyhow::{Context, Result, bail};
use authority_contracts::abi::KmsAuthority as kms;
use kms_types::OsImageHash;
use serde_json::json;
use std::{collections::BTreeSet, path::Path};
use td_measure::{Catalogue, MAX_CATALOGUE_JSON};
use vm_runner::RunnerError;

/// Runs a subcommand.
///
/// # Errors
/// When the chain cannot be asked or refuses.
pub(crate) async fn run(state: &Path, command: Os, output: &Output) -> Result<()> {
    match command {
        Os::Allow { image, until, target } => {
            let hash = hash(&image)?;
            let at = Connection::open(state, &target, Role::NetworkOwner).await?;
            let word = FixedBytes(hash.to_bytes());
            match until {
                None => {
                    let call = kms::addOsImageHashCall { osImageHash: word };
                    at.transact(output, "KmsAuthority", at.authority, &call, Effect::Grant)
                        .await?;
                }
                Some(until) => {
                    let call = kms::addOsImageHashUntilCall {
                        osImageHash: word,
                        validUntil: until,
                    };
                    at.transact(output, "KmsAuthority", at.authority, &call, Effect::Grant)
                        .await?;
                }
            }
            output.result("", &[("os image", json!(hash)), ("allowed", json!(true))]);
        }
        Os::Revoke { image, target } => {
            let hash = hash(&image)?;
            let at = Connection::open(state, &target, Role::NetworkOwner).await?;
            let call = kms::removeOsImageHashCall {
                osImageHash: FixedBytes(hash.to_bytes()),
            };
            at.transact(output, "KmsAuthority", at.authority, &call, Effect::Restriction)
                .await?;
            output.result("", &[("os image", json!(hash)), ("allowed", json!(false))]);
        }
        Os::Measure(asked) => measure::run(&asked, output)?,
        Os::Boot(asked) => boot::run(state, *asked, output).await?,
        Os::VerifyImage(asked) => verify::run(&asked, output)?,
        Os::Explain(asked) => explain::run(&asked, output)?,
        Os::Show { target } => {
            let at = Connection::open(state, &target, Role::Reader).await?;
            show(&at, output).await?;
        }
    }
    Ok(())
}

/// A part that is not what another part says is a refusal; a file that cannot be read is none.
fn no(error: RunnerError) -> anyhow::Error {
    match error {
        RunnerError::Image { .. } => Refused(error.to_string()).into(),
        other => other.into(),
    }
}

fn words(shape: vm_runner::Shape) -> String {
    format!("{} vCPUs, {} MiB", shape.vcpus(), shape.memory_mib())
}

fn hash(image: &Image) -> Result<OsImageHash> {
    match (&image.hash, &image.catalogue) {
        (Some(hash), None) => Ok(*hash),
        (None, Some(file)) => {
            let text = guest_files::read_bounded(file, MAX_CATALOGUE_JSON)?;
            Ok(Catalogue::from_json(&text)?.os_image_hash())
        }
        _ => bail!("expected a hash or --catalogue"),
    }
}

/// The contract keeps a map, so candidates come from its events and each is asked for as it stands now.
async fn show(at: &Connection, output: &Output) -> Result<()> {
    let filter = Filter::new()
        .address(alloy::primitives::Address::from(at.authority.to_bytes()))
        .event_signature(kms::OsImageHashAdded::SIGNATURE_HASH)
        .from_block(0);
    let logs = at
        .sender
        .provider()
        .get_logs(&filter)
        .await
        .context("events of the authority")?;
    let seen: BTreeSet<FixedBytes<32>> = logs
        .iter()
        .filter_map(|log| kms::OsImageHashAdded::decode_log(&log.inner).ok())
        .map(|event| event.osImageHash)
        .collect();
    let mut images = Vec::new();
    for image in seen {
        let grant = at
            .ask(at.authority, &kms::osImageGrantCall { osImageHash: image })
            .await?;
        let allowed = at
            .ask(at.authority, &kms::allowedOsImagesCall { osImageHash: image })
            .await?;
        let until = (grant._1 != 0).then_some(grant._1);
        images.push(json!({ "hash": image, "allowed": allowed, "valid_until": until }));
    }
    output.result(
        "OS images",
        &[("authority", json!(at.authority)), ("images", images.into())],
    );
    Ok(())
}
