//! The keys stage: from whom, under which identity, and the event that says so.

use crate::{BootKeys, Effects, HostDocument, KeyRequest, StageError, measure};
use app_manifest::KeyProvider;
use guest_files::BootMode;
use kms_types::InstanceId;

/// Gets the keys the measured document asks for, and records who gave them.
pub(crate) fn keys(document: &HostDocument, effects: &mut dyn Effects) -> Result<BootKeys, StageError> {
    pinned(document)?;
    let request = match mode(document) {
        BootMode::Kms => KeyRequest::Kms { document },
        BootMode::Local => KeyRequest::Local { document },
        BootMode::None => KeyRequest::None {
            app_id: document.app_id,
            instance_id: measure::instance_id(document).unwrap_or(InstanceId::ZERO),
        },
    };
    let keys = effects.keys(&request)?;
    let payload = serde_json::to_vec(&keys.provider).map_err(|error| {
        StageError::refused(format!("key-provider: {error}"), "this is a fault of the guest")
    })?;
    measure::record_once(effects, "key-provider", &payload)?;
    Ok(keys)
}

/// Where the document takes its keys from.
pub(crate) fn mode(document: &HostDocument) -> BootMode {
    match document.manifest.compose().key_provider() {
        KeyProvider::Kms => BootMode::Kms,
        KeyProvider::Local => BootMode::Local,
        KeyProvider::None => BootMode::None,
    }
}

/// Holds the host's idea of the KMS against the pin of the measured document.
pub(crate) fn pinned(document: &HostDocument) -> Result<(), StageError> {
    if mode(document) != BootMode::Kms {
        return Ok(());
    }
    let missing = |what: &str| {
        StageError::malformed(
            format!("host document: {what}: expected one, since the app takes its keys from a KMS; got none"),
            "add it to the host document",
        )
    };
    let identity = document
        .kms_identity
        .as_ref()
        .ok_or_else(|| missing("kms_identity"))?;
    if document.kms_urls.is_empty() {
        return Err(missing("kms_urls"));
    }
    let pin = document.manifest.compose().pinned_kms().map_err(|error| {
        StageError::malformed(format!("key_provider_id: {error}"), "repair the compose document")
    })?;
    match pin {
        // G3: the host must not choose whose keys an app gets when its owner has.
        Some(expected) if expected != identity.kms_identity => Err(StageError::refused(
            format!(
                "KMS identity: expected {expected}, which the compose document pins, got {} from the host",
                identity.kms_identity
            ),
            "the host names another KMS than the app's owner; compare both with the one recorded on-chain",
        )),
        // G3: without a pin the host brings a KMS of its own, and knows every key of the app.
        None if !document.manifest.compose().allow_any_kms => Err(StageError::refused(
            "key_provider_id: expected the identity of the KMS, since the app takes its keys from one; got none (check G3)",
            "name the KMS in key_provider_id, or say allow_any_kms in the compose document if the host may choose it",
        )),
        _ => Ok(()),
    }
}
