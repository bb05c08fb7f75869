//! Image archives an instance brings along, so that it starts without asking a registry.

use super::instance::Instance;
use anyhow::{Context, Result};
use std::{fs, path::PathBuf};

/// Copies the archives into the instance's folder; the names of all it has by now.
///
/// # Errors
/// When one cannot be read, or the disk is full; then nothing is registered.
pub(super) fn keep(instance: &Instance, archives: &[PathBuf]) -> Result<Vec<String>> {
    instance.make()?;
    let folder = instance.folder().join("images");
    for archive in archives {
        let name = archive.file_name().context("image archive: expected a file")?;
        let fresh = folder.join(".new");
        fs::copy(archive, &fresh).with_context(|| format!("image archive {}", archive.display()))?;
        fs::rename(&fresh, folder.join(name))?;
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().into_string();
        names.extend(name.ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(names)
}
