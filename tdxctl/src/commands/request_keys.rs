//! `request-keys`: asks the pinned KMS for this TD's keys and shows what allowed them.

use super::keys_file;
use crate::{
    cli::RequestKeys,
    exit::{Failure, Outcome, chain},
    input,
    on_chain::recorded_kms,
    table::list,
};
use kms_client::{Expected, KmsPin, MAX_PIN_BYTES, Released, RequestOptions};
use kms_types::KeyEpoch;
use kms_wire::MAX_VM_CONFIG;
use reqwest::Url;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use td_measure::{Catalogue, MAX_CATALOGUE_JSON};

pub(crate) async fn request_keys(arguments: &RequestKeys) -> Result<Outcome, Failure> {
    if let Some(path) = &arguments.out {
        keys_file::check_free(path)?;
    }
    let (pin, released) = ask(arguments).await?;
    let fingerprints = keys_file::fingerprints(&released.keys)?;
    if let Some(path) = &arguments.out {
        keys_file::write(path, &released.keys)?;
        if path == Path::new("-") {
            return Ok(Outcome::silent());
        }
    }
    Ok(outcome(arguments, &pin, &released, &fingerprints))
}

/// Asks, and gives the keys with the pin of the KMS that gave them.
pub(super) async fn ask(arguments: &RequestKeys) -> Result<(KmsPin, Released), Failure> {
    crate::harden::process()?;
    let catalogue = input::read(&arguments.catalogue, MAX_CATALOGUE_JSON)?;
    let vm_config = match &arguments.vm_config {
        Some(path) => input::read_text(path, MAX_VM_CONFIG)?,
        None => String::new(),
    };
    let pin = pin(arguments).await?;
    let options = RequestOptions {
        older: older(arguments, &pin).await?,
        kms_url: Url::parse(&arguments.kms)
            .map_err(|error| Failure::usage(format_args!("KMS address: {error}")))?,
        pin,
        network: Expected {
            chain_id: arguments.chain_id,
            contract: arguments.chain.authority,
        },
        catalogue: Catalogue::from_json(&catalogue).map_err(|error| Failure::usage(chain(&error)))?,
        vm_config,
        instance_seed: arguments.instance_seed,
        key_epoch: arguments.key_epoch.map(KeyEpoch),
        timeout: Duration::from_secs(arguments.timeout),
    };
    let td = td_quote::open(&arguments.td.td)?;
    let released = kms_client::request_keys(&options, &*td).await?;
    Ok((options.pin, released))
}

/// Who the KMS is. There is no third way: an identity learnt from the connection itself would be anyone's.
async fn pin(arguments: &RequestKeys) -> Result<KmsPin, Failure> {
    let chain = &arguments.chain;
    let pin = match (&arguments.kms_identity_file, &chain.trusted_rpc, chain.authority) {
        (Some(path), None, _) => KmsPin::from_json(&input::read(path, MAX_PIN_BYTES)?)
            .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?,
        (None, Some(url), Some(contract)) => {
            // The KMS answers as what it is now, also when it is asked for keys of an older epoch.
            recorded_kms(url, contract, None, arguments.chain_id).await?
        }
        _ => {
            return Err(Failure::usage(
                "KMS identity: expected --kms-identity-file, or --authority with --trusted-rpc",
            ));
        }
    };
    // G3: a document or an endpoint that names another KMS than the one meant must not decide who is asked.
    match arguments.kms_identity {
        Some(expected) if expected != pin.kms_identity => Err(Failure::refused(format_args!(
            "KMS identity: expected {expected}, got {}",
            pin.kms_identity
        ))),
        _ => Ok(pin),
    }
}

/// Who the KMS was in the epoch that is asked for; none when that is the present one.
async fn older(arguments: &RequestKeys, pin: &KmsPin) -> Result<Option<KmsPin>, Failure> {
    let Some(epoch) = arguments.key_epoch.map(KeyEpoch) else {
        return Ok(None);
    };
    if pin.key_epoch == Some(epoch) {
        return Ok(None);
    }
    let chain = &arguments.chain;
    let older = match (
        &arguments.epoch_identity_file,
        &chain.trusted_rpc,
        chain.authority,
    ) {
        (Some(path), _, _) => KmsPin::from_json(&input::read(path, MAX_PIN_BYTES)?)
            .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?,
        (None, Some(url), Some(contract)) => {
            recorded_kms(url, contract, Some(epoch), arguments.chain_id).await?
        }
        _ => {
            return Err(Failure::usage(format_args!(
                "--epoch-identity-file: expected the identity document of epoch {epoch}, since the KMS is of another now; got none"
            ))
            .advise("take it from GET /v1/meta or from the chain, where every epoch is recorded"));
        }
    };
    match older.key_epoch {
        // G3: a document of another epoch would let its keys stand for those that were meant.
        Some(actual) if actual != epoch => Err(Failure::usage(format_args!(
            "--epoch-identity-file: expected epoch {epoch}, got epoch {actual}"
        ))),
        _ => Ok(Some(older)),
    }
}

fn outcome(arguments: &RequestKeys, pin: &KmsPin, released: &Released, fingerprints: &Value) -> Outcome {
    let (keys, response) = (&released.keys, &released.response);
    let decision = &response.decision;
    let written = arguments.out.as_ref().map(|path| path.display().to_string());
    let named = |name: &str| {
        fingerprints
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Outcome {
        code: crate::exit::OK,
        json: json!({
            "ok": true,
            "app_id": keys.app_id,
            "instance_id": keys.instance_id,
            "compose_hash": response.log.entry.compose_hash,
            "os_image_hash": response.log.entry.os_image_hash,
            "key_epoch": keys.key_epoch,
            "gateway_app_id": keys.gateway_app_id,
            "kms_identity": pin.kms_identity,
            "decision": decision,
            "log": response.log,
            "fingerprints": fingerprints,
            "out": written,
        }),
        text: list([
            ("app", keys.app_id.to_string()),
            ("instance", keys.instance_id.to_string()),
            ("key epoch", keys.key_epoch.to_string()),
            ("KMS", pin.kms_identity.to_string()),
            ("allowed at head", decision.head.block_ref().to_string()),
            ("and at finalized", decision.finalized.block_ref().to_string()),
            (
                "by contract",
                format!("{} on chain {}", decision.contract, decision.chain_id),
            ),
            (
                "release log",
                format!("entry {} of {}", response.log.index, response.log.tree_head.size),
            ),
            ("disk key", named("disk_key")),
            ("env public key", named("env_public_key")),
            ("app public key", named("app_public_key")),
            (
                "keys",
                written.unwrap_or_else(|| "not written; fingerprints only (see --out)".to_owned()),
            ),
        ]),
    }
}
