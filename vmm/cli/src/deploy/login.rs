//! Users and passwords of registries: from a file or standard input into the encrypted environment, never into an argument or
//! the measured document. Only what the file's own registries need is taken along.

use super::environment::Variables;
use crate::exit::Refused;
use anyhow::{Context, Result};
use compose_file::Project;
use container_runtime::images::{Credentials, credentials};
use std::{
    io::Read,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const MAX_DOCUMENT: usize = 256 * 1024;

/// Puts the credentials the project needs into the environment; gives all that the environment then has.
///
/// # Errors
/// When the document is none, or says nothing about the project's registries.
pub(super) fn take(asked: Option<&PathBuf>, project: &Project, env: &mut Variables) -> Result<Credentials> {
    if let Some(file) = asked {
        let document = read(file)?;
        let all = Credentials::parse(&document).map_err(|error| Refused(error.to_string()))?;
        let registries: Vec<&str> = project
            .services
            .values()
            .map(|one| one.image.registry())
            .collect();
        let part = all.document_for(&registries).ok_or_else(|| {
            Refused(format!(
                "--registry-auth: expected an entry for one of {}, got {all:?}",
                registries.join(", ")
            ))
        })?;
        env.set(credentials::DOCUMENT, part);
    }
    let value = |name: &str| env.value(name);
    Ok(Credentials::from_environment(&value).map_err(|error| Refused(error.to_string()))?)
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>> {
    if file != Path::new("-") {
        return Ok(Zeroizing::new(
            guest_files::read_bounded(file, MAX_DOCUMENT)?.to_vec(),
        ));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_DOCUMENT + 1));
    std::io::stdin()
        .take(MAX_DOCUMENT as u64 + 1)
        .read_to_end(&mut text)
        .context("--registry-auth: standard input")?;
    if text.len() > MAX_DOCUMENT {
        return Err(Refused(format!(
            "--registry-auth: expected at most {MAX_DOCUMENT} bytes, got more"
        ))
        .into());
    }
    Ok(text)
}
