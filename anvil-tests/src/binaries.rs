//! Where the programs are: Anvil from the contracts' npm packages, our own beside the running one. A missing one is an
//! error that says what to run.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// The workspace this library was built in; it may be gone at run time.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Finds Anvil: `KEDGE_ANVIL`, then the workspace's npm packages, then `PATH`.
///
/// # Errors
/// When it is in none of these places.
pub fn anvil() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("KEDGE_ANVIL").map(PathBuf::from) {
        if path.is_file() {
            return Ok(path);
        }
        bail!("KEDGE_ANVIL: expected an executable, got {}", path.display());
    }
    let tools = "contracts/node_modules/.bin/anvil";
    let places = [Path::new(WORKSPACE).join(tools), PathBuf::from(tools)];
    match places
        .into_iter()
        .find(|path| path.is_file())
        .or_else(|| in_path("anvil"))
    {
        Some(path) => Ok(path),
        None => bail!(
            "Anvil is not installed: run `make demo` or `make test` once in the repository (they install it), or set KEDGE_ANVIL"
        ),
    }
}

/// Finds one of our own programs: beside the running one (also from a test's or an example's folder), then `PATH`.
///
/// # Errors
/// When it was not built.
pub fn own(name: &str) -> Result<PathBuf> {
    let running = std::env::current_exe()?;
    let beside = running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name));
    match beside
        .into_iter()
        .find(|path| path.is_file())
        .or_else(|| in_path(name))
    {
        Some(path) => Ok(path),
        None => bail!("{name} is not built: run `cargo build --workspace --bin {name}`"),
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
