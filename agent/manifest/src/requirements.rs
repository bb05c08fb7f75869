//! `requirements` of app-compose.json: what a guest must have before it asks for keys.
//!
//! A requirement that is not known cannot be met, so an unknown key here refuses the document.

use crate::fields;
use serde::Deserialize;

/// What must hold, or the guest stops before it asks for keys. Whether it holds is the guest's question, not this crate's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// Range of versions of the OS image.
    pub os_version: Option<String>,
    /// Platforms by name; absent: any; empty: none.
    pub platforms: Option<Vec<String>>,
    /// Whether ACPI tables must be among the measurements.
    pub tdx_measure_acpi_tables: Option<bool>,
    /// SHA-256 of `"dstack-launch-token/v1:"` and the token the host must hand over.
    #[serde(deserialize_with = "fields::digest")]
    pub launch_token_hash: Option<[u8; 32]>,
    /// What GPUs must show.
    pub gpu_policy: Option<GpuPolicy>,
    /// Whether the gateway waits for the app to say it is well.
    pub health_check: bool,
    /// File the app says it in.
    pub health_status_file: Option<String>,
    /// What becomes of a disk older than the one last used (ours).
    pub rollback: Option<Rollback>,
}

/// Rules for GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpuPolicy {
    /// Evidence is asked of every GPU.
    pub attest_gpu: bool,
    /// Policy over the claims.
    pub rego: Option<String>,
    /// A GPU in developer mode will do.
    pub allow_devtools: bool,
}

/// What becomes of a disk older than the one last used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollback {
    /// The guest refuses it.
    Detect,
}

/// Platforms listed at most, and the length of a short text.
pub(crate) const MAX_PLATFORMS: usize = 16;
pub(crate) const MAX_TEXT: usize = 128;

impl Requirements {
    /// What is beyond its bounds.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut short = |field: &str, text: Option<&str>| {
            if let Some(actual) = text.map(str::len).filter(|len| *len > MAX_TEXT) {
                faults.push(format!(
                    "requirements.{field}: expected at most {MAX_TEXT} bytes, got {actual}"
                ));
            }
        };
        short("os_version", self.os_version.as_deref());
        for platform in self.platforms.iter().flatten() {
            short("platforms", Some(platform));
        }
        let count = self.platforms.as_ref().map_or(0, Vec::len);
        if count > MAX_PLATFORMS {
            faults.push(format!(
                "requirements.platforms: expected at most {MAX_PLATFORMS}, got {count}"
            ));
        }
        if let Some(file) = self.health_status_file.as_deref() {
            let clean = file.starts_with('/') && file.len() <= 4095 && !file.contains(char::is_control);
            if !clean || file.split('/').any(|part| part == "..") {
                faults.push(
                    "requirements.health_status_file: expected an absolute path without `..`".to_owned(),
                );
            }
        }
        faults
    }
}
