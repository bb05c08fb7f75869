//! Where images come from: mirrors as the host offers them, users and passwords as the app's environment has them. The host's
//! part is believed about nothing but bytes that a digest names.

use super::AppError;
use crate::run::Guest;
use container_runtime::images::{Credentials, RegistryConfig};
use std::collections::BTreeSet;

/// Mirrors are the host's choice and answer for digests alone.
///
/// # Errors
/// When the environment's credentials are not what they should be.
pub(super) fn config(guest: &Guest, allow_mutable: bool) -> Result<RegistryConfig, AppError> {
    let named = &guest.handover.registries;
    let value = |name: &str| {
        guest
            .environment
            .value(name)
            .map(|value| value.expose().to_owned())
    };
    let credentials = Credentials::from_environment(&value).map_err(|error| AppError::Document {
        what: "environment",
        reason: error.to_string(),
    })?;
    Ok(RegistryConfig {
        mirrors: named.mirrors.clone(),
        // The host writes this list. Over plain http whoever is on the way says what a tag names, and reads a password.
        insecure: if allow_mutable || !credentials.is_empty() {
            BTreeSet::new()
        } else {
            named.insecure.iter().cloned().collect()
        },
        credentials,
        allow_mutable,
        ..RegistryConfig::default()
    })
}
