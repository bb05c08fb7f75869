//! app-compose.json from a docker-compose file: what the owner allows on-chain and the guest measures.
//!
//! Refuses a compose file with anything the guest would refuse, with every line that is wrong.

use super::environment::Variables;
use crate::{cli::Deploy, exit::Refused, output::Output};
use anyhow::{Context, Result, bail};
use app_manifest::AppManifest;
use compose_file::Project;
use kms_types::{ChainAddress, KmsIdentity};
use serde_json::json;
use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

/// Reads the compose file.
///
/// # Errors
/// When it cannot be read, is too long, or is no text.
pub(super) fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(file)
        .and_then(|file| {
            file.take(compose_file::MAX_FILE as u64 + 1)
                .read_to_string(&mut text)
        })
        .with_context(|| format!("compose file {}", file.display()))?;
    if text.len() > compose_file::MAX_FILE {
        bail!(
            "compose file {}: expected at most {} bytes, got more",
            file.display(),
            compose_file::MAX_FILE
        );
    }
    Ok(text)
}

/// Reads it as the guest will.
///
/// # Errors
/// Everything the guest would refuse.
pub(super) fn project(file: &Path, text: &str, env: &Variables) -> Result<Project> {
    let value = |name: &str| env.value(name);
    let parsed = compose_file::parse(text.as_bytes(), &value);
    Ok(parsed.map_err(|error| Refused(format!("{}:\n{error}", file.display())))?)
}

/// Says which services do not run. A guest measures the file and no choice among its profiles.
///
/// # Errors
/// When a profile is asked for.
pub(super) fn profiles(asked: &[String], project: &Project, output: &Output) -> Result<()> {
    let off = BTreeSet::new();
    let on: Vec<_> = project.enabled(&off).collect();
    let idle: Vec<String> = project
        .services
        .keys()
        .filter(|name| !on.contains(name))
        .map(ToString::to_string)
        .collect();
    if !asked.is_empty() {
        return Err(Refused(
            "--profile: not supported, since who verifies the app sees its file and not what was chosen: take `profiles` \
             away from the services that are to run"
                .to_owned(),
        )
        .into());
    }
    if !idle.is_empty() {
        output.warn(format!(
            "not started, for each has `profiles`, and none can be chosen: {}",
            idle.join(", ")
        ));
    }
    Ok(())
}

/// What the document is made of.
pub(super) struct Parts<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    pub(super) kms: KmsIdentity,
    pub(super) env: &'a Variables,
    pub(super) signer: ChainAddress,
    pub(super) asked: &'a Deploy,
}

/// The document. The same parts give the same bytes, so that a second deploy of the same file is the same app.
///
/// # Errors
/// When a guest would refuse it, or a name may not be in an environment.
pub(super) fn write(parts: &Parts<'_>) -> Result<String> {
    let mut document = json!({
        "manifest_version": 2,
        "name": parts.name,
        "runner": "docker-compose",
        "docker_compose_file": parts.text,
        "key_provider": "kms",
        "key_provider_id": hex::encode(parts.kms.as_ref()),
        "allowed_envs": parts.env.names(),
        "env_signers": [parts.signer],
        "public_logs": parts.asked.public_logs,
        "public_sysinfo": parts.asked.public_sysinfo,
    });
    if let Some(document) = document.as_object_mut() {
        if parts.asked.allow_mutable_images {
            document.insert("allow_mutable_images".to_owned(), true.into());
        }
        if let Some(grace) = parts.asked.grace {
            document.insert("lease_grace_s".to_owned(), grace.into());
        }
    }
    let text = serde_json::to_string_pretty(&document)?;
    AppManifest::parse(text.as_bytes()).map_err(|error| Refused(error.to_string()))?;
    Ok(text)
}
