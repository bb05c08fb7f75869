//! The last stage: everything the agent needs, written before the log says that the boot is over.

use crate::{BootKeys, Effects, HostDocument, Platform, StageError, env::Accepted, keys, measure};
use guest_files::{HandOver, HandOverVersion, Storage};
use kms_types::InstanceId;

/// Leaves everything for the agent and completes the log.
pub(crate) fn hand_over(
    document: &HostDocument,
    keys: &BootKeys,
    storage: Storage,
    accepted: &Accepted,
    effects: &mut dyn Effects,
) -> Result<HandOver, StageError> {
    let handover = HandOver {
        version: HandOverVersion,
        app_id: document.app_id,
        app_name: document.manifest.compose().name.clone(),
        instance_id: measure::instance_id(document).unwrap_or(InstanceId::ZERO),
        instance_seed: document.instance_seed,
        compose_hash: document.manifest.hash(),
        os_image_hash: document.catalogue.os_image_hash(),
        boot_mode: keys::mode(document),
        key_provider: keys.provider.clone(),
        kms: keys.kms.clone(),
        image_proof: effects.image_proof(document)?,
        vm_config: document.vm_config.clone(),
        storage,
        env_version: accepted.version,
        registries: document.registries.clone(),
        td: effects.td_spec(),
        simulated: effects.machine().platform == Platform::Simulated,
        booted_at: effects.now(),
    };
    let env = accepted
        .environment
        .to_text()
        .map_err(|error| StageError::refused(error.to_string(), "make the environment smaller"))?;
    effects.hand_over(&document.app_compose, &env, &keys.agent, &handover)?;
    // B5: after this event the KMS gives no keys to this boot; so nothing may be missing by now.
    measure::record_once(effects, "system-ready", &[])?;
    // B5: an agent that started on a hand-over before the event would be an app that can still ask for keys.
    effects.publish()?;
    Ok(handover)
}
