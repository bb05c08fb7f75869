//! The compose document a command names, by file or by hash.
//!
//! Refuses files above the bound, and, before one is allowed, those no guest would start. What is revoked needs no such check.

use crate::{cli::Compose, output::Output};
use anyhow::{Context, Result, bail};
use app_manifest::AppManifest;
use kms_types::ComposeHash;
use std::{fs::File, io::Read, path::Path};

/// Bytes that are read and hashed. A document that is allowed has a lower bound of its own.
const MAX_FILE: usize = 4 << 20;
/// Unknown keys that are told, and how much of each.
const TOLD: (usize, usize) = (8, 64);

/// Hash of the document.
///
/// # Errors
/// When the file cannot be read or is too long.
pub(crate) fn named(compose: &Compose) -> Result<ComposeHash> {
    match (&compose.compose, compose.compose_hash) {
        (None, Some(hash)) => Ok(hash),
        (Some(file), None) => Ok(ComposeHash::of(&read(file)?)),
        _ => bail!("expected --compose or --compose-hash"),
    }
}

/// Hash of a document that is to be allowed. A file is checked as a guest would; of a hash nothing more is known.
///
/// # Errors
/// When the file cannot be read, is too long, or no guest would start it.
pub(crate) fn startable(compose: &Compose, output: &Output) -> Result<ComposeHash> {
    let Some(file) = &compose.compose else {
        return named(compose);
    };
    let manifest =
        AppManifest::parse(&read(file)?).with_context(|| format!("compose document {}", file.display()))?;
    for key in manifest.unknown_keys().iter().take(TOLD.0) {
        let key: String = key.chars().take(TOLD.1).collect();
        output.warn(format_args!(
            "{}: the key {key:?} is unknown and has no effect",
            file.display()
        ));
    }
    Ok(manifest.hash())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let open = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // One more than there may be shows that there is more.
        File::open(file)?
            .take(MAX_FILE as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = open().with_context(|| format!("compose document {}", file.display()))?;
    if bytes.len() > MAX_FILE {
        bail!(
            "compose document {}: expected at most {MAX_FILE} bytes, got more",
            file.display()
        );
    }
    Ok(bytes)
}
