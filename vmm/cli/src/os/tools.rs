//! Which tool folder is used: the one an image was made with, so that measurement and boot use the same QEMU everywhere.

use anyhow::{Context, Result, bail};
use std::path::Path;
use vm_runner::{Image, ToolRoot};

/// The folder that is named, else the image's in the cache.
///
/// # Errors
/// When there is none, or its QEMU does not start.
pub(super) fn tools(named: Option<&Path>, image: &Image) -> Result<ToolRoot> {
    if let Some(folder) = named {
        return Ok(ToolRoot::new(folder)?);
    }
    // Beside the packages, as `os-image` has it.
    let cache = match std::env::var_os("KEDGE_OS_CACHE") {
        Some(packages) => Path::new(&packages).parent().unwrap_or(Path::new("/")).to_owned(),
        None => {
            let home =
                std::env::var_os("HOME").context("HOME is not set: name the tool folder with --tools")?;
            Path::new(&home).join(".cache/kedge")
        }
    };
    let folder = cache.join("tools").join(image.tools());
    if !folder.is_dir() {
        bail!(
            "no tool folder {}: make it with `os-image tools` in the source the image was built from, or name one with --tools",
            folder.display()
        );
    }
    Ok(ToolRoot::new(&folder)?)
}
