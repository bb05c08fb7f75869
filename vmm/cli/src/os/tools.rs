//! Which tool folder is used. Refuses to choose among several.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The one tool folder there is, unless one is named.
///
/// # Errors
/// When there is none or more than one.
pub(super) fn tools(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = named {
        return Ok(folder.to_owned());
    }
    let home = std::env::var_os("HOME").context("HOME is not set: name the tool folder with --tools")?;
    let cache = Path::new(&home).join(".cache/kedge/tools");
    let folders = std::fs::read_dir(&cache).into_iter().flatten().flatten();
    let found: Vec<PathBuf> = folders
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_none() && path.is_dir())
        .collect();
    match found.as_slice() {
        [folder] => Ok(folder.clone()),
        [] => bail!(
            "no tool folder in {}: make one with `os-image tools`, or name one with --tools",
            cache.display()
        ),
        more => bail!(
            "{} tool folders in {}: name one with --tools",
            more.len(),
            cache.display()
        ),
    }
}
