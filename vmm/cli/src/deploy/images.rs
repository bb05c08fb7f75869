//! Image archives an instance brings along, so that it starts without asking a registry.

use super::instance::{Instance, Record};
use anyhow::{Context, Result};
use container_lab::Containerd;
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

/// Puts the archives into the instance's containerd, under the names its compose file has for them.
///
/// An archive names its images by tag; a compose file that pins a digest finds the same image under that digest.
///
/// # Errors
/// When an archive is none.
pub(super) async fn bring(
    instance: &Instance,
    record: &Record,
    containerd: &Containerd,
    namespace: &str,
) -> Result<()> {
    let mut known = names(containerd, namespace).await?;
    // What a digest names is the same image at every boot; a tag is looked at again.
    let all = |known: &[(String, String)]| {
        let named = |reference: &String| known.iter().any(|(name, _)| name == reference);
        record
            .references
            .iter()
            .all(|reference| reference.contains('@') && named(reference))
    };
    if all(&known) {
        return Ok(());
    }
    for image in &record.images {
        let archive = instance.folder().join("images").join(image);
        let archive = archive.to_str().context("path of an image archive")?;
        containerd
            .ctr(
                namespace,
                &["images", "import", "--digests", "--all-platforms", archive],
            )
            .await?;
    }
    if !record.images.is_empty() {
        known = names(containerd, namespace).await?;
    }
    for reference in &record.references {
        let Some((_, digest)) = reference.split_once('@') else {
            continue;
        };
        let named = known.iter().any(|(name, _)| name == reference);
        if let Some((name, _)) = known.iter().find(|(_, of)| of == digest)
            && !named
        {
            containerd
                .ctr(namespace, &["images", "tag", "--force", name, reference])
                .await?;
        }
    }
    Ok(())
}

/// Names of images here, with their digests.
async fn names(containerd: &Containerd, namespace: &str) -> Result<Vec<(String, String)>> {
    let list = containerd.ctr(namespace, &["images", "ls"]).await?;
    // Name, media type, digest and more, behind a line of headings.
    let columns = list.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace();
        Some((columns.next()?.to_owned(), columns.nth(1)?.to_owned()))
    });
    Ok(columns.collect())
}
