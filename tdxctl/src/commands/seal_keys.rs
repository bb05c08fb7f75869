//! The keys `seal` and `unseal` work with: those setup left for this boot, or those a KMS releases now. Refuses keys that are gone
//! with the boot: nothing sealed by them could be opened again.

use super::request_keys;
use crate::{
    cli::{RequestKeys, Sealing, Td},
    exit::{Failure, chain},
};
use guest_files::{FileError, GuestKeys, GuestPaths};
use kms_keys::{KeyError, SealScope, SealingKey, Secret};
use kms_types::{InstanceId, KeyEpoch};

const NO_KEYS: &str = "run it inside a guest where `tdxctl setup` is done and name its folder with --run, or ask a KMS with --kms";

/// The keys of `epoch` where the KMS can be asked for it; otherwise those that are there.
pub(super) async fn keys(arguments: &Sealing, epoch: Option<KeyEpoch>) -> Result<GuestKeys, Failure> {
    let keys = match &arguments.kms {
        Some(url) => {
            let (_, released) = request_keys::ask(&request(arguments, url, epoch)?).await?;
            GuestKeys::of(&released.keys).map_err(derivation)?
        }
        None => {
            // The folder of the data is not looked at: the keys are in that of the boot.
            let paths = GuestPaths::new(&arguments.run, &arguments.run);
            paths.read_keys().map_err(unreadable)?
        }
    };
    if keys.key_epoch == KeyEpoch(0) {
        return Err(
            Failure::refused("keys: expected those of a KMS, got fresh ones of this boot alone").advise(
                "an app without a key provider cannot seal anything: the keys are gone with the boot",
            ),
        );
    }
    Ok(keys)
}

/// The key of a scope.
pub(super) fn sealing_key(keys: GuestKeys, scope: SealScope) -> Result<SealingKey, Failure> {
    let (app_id, instance_id, epoch) = (keys.app_id, keys.instance_id, keys.key_epoch);
    if scope == SealScope::App {
        return SealingKey::of_app(keys.app_key.expose(), app_id, epoch).map_err(derivation);
    }
    let secret = match keys.instance_seal_secret {
        Some(secret) if instance_id != InstanceId::ZERO => Box::new(*secret.expose()),
        _ => {
            return Err(Failure::refused(
                "keys: expected those of an instance, got those of an app without instance ids",
            )
            .advise("seal to the app: leave out --instance"));
        }
    };
    Ok(SealingKey::of_instance(
        Secret::new(secret),
        app_id,
        instance_id,
        epoch,
    ))
}

fn request(arguments: &Sealing, url: &str, epoch: Option<KeyEpoch>) -> Result<RequestKeys, Failure> {
    let source = &arguments.source;
    let chain = &source.chain;
    let catalogue = source
        .catalogue
        .clone()
        .ok_or_else(|| Failure::usage("--catalogue: expected FILE with --kms, got none"))?;
    Ok(RequestKeys {
        td: Td {
            td: source.td.clone().unwrap_or_else(|| "tsm".to_owned()),
        },
        kms: url.to_owned(),
        kms_identity_file: source.kms_identity_file.clone(),
        epoch_identity_file: source.epoch_identity_file.clone(),
        kms_identity: source.kms_identity,
        chain: crate::cli::Chain {
            authority: chain.authority,
            trusted_rpc: chain.trusted_rpc.clone(),
        },
        chain_id: source.chain_id,
        catalogue,
        vm_config: source.vm_config.clone(),
        instance_seed: source.instance_seed,
        key_epoch: epoch.map(|epoch| epoch.0),
        out: None,
        timeout: source.timeout,
    })
}

fn unreadable(error: FileError) -> Failure {
    match error {
        FileError::Missing { .. } | FileError::Io { .. } => Failure::could_not_ask(&error).advise(NO_KEYS),
        _ => Failure::usage(chain(&error))
            .advise("setup writes this file anew at every boot; start the VM again"),
    }
}

fn derivation(error: KeyError) -> Failure {
    Failure::refused(chain(&error))
}
