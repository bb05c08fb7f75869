//! Tags become digests before the document is measured: each is asked of its registry, or looked up in an archive that comes
//! along, and written behind the tag in the compose file. Everything else of the file stays as it is, byte for byte; a line
//! that cannot be changed alone is refused with what to write there.

use super::{app_compose, environment::Variables};
use crate::{
    exit::{Refused, Unreachable},
    output::Output,
};
use anyhow::{Context, Result};
use compose_file::{ImageDigest, ImageRef, Project};
use container_runtime::images::{Credentials, ImageError, RegistryConfig};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Bytes of an archive's index.
const MAX_INDEX: u64 = 4 << 20;

/// A compose file and where its images come from.
pub(super) struct Unpinned<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
    pub(super) env: &'a Variables,
    pub(super) archives: &'a [PathBuf],
    pub(super) credentials: &'a Credentials,
}

/// The file with every image pinned, and what it says.
///
/// # Errors
/// When a registry has no such tag, denies it or cannot be asked, or a line cannot be changed.
pub(super) async fn pin(parts: &Unpinned<'_>, output: &Output) -> Result<(String, Project)> {
    let mut expected = app_compose::project(parts.file, parts.text, parts.env)?;
    let mut digests: BTreeMap<ImageRef, ImageDigest> = BTreeMap::new();
    for (service, image) in expected.mutable_images() {
        if !digests.contains_key(image) {
            let (digest, from) = find(image, parts).await?;
            output.say(format!("{service}: {image} is {digest} ({from})"));
            digests.insert(image.clone(), digest);
        }
    }
    if digests.is_empty() {
        return Ok((parts.text.to_owned(), expected));
    }
    let text = write(parts.text, &digests);
    for service in expected.services.values_mut() {
        if let Some(digest) = digests.get(&service.image) {
            service.image = service.image.clone().with_digest(*digest);
        }
    }
    let project = app_compose::project(parts.file, &text, parts.env)?;
    // G6: what is measured is what was resolved, and nothing else of the file has changed by it.
    if project.mutable_images().next().is_some() || unsettled(&project) != unsettled(&expected) {
        let lines: Vec<String> = digests
            .iter()
            .map(|(image, digest)| format!("{image}@{digest}"))
            .collect();
        return Err(Refused(format!(
            "{}: expected each image on a line of its own, `image: name:tag`, got another form: write the digest there \
             yourself, or say --allow-mutable-images:\n  {}",
            parts.file.display(),
            lines.join("\n  ")
        ))
        .into());
    }
    Ok((text, project))
}

/// References without the tag that stands beside a digest: it is for people.
fn unsettled(project: &Project) -> Project {
    let mut project = project.clone();
    for service in project.services.values_mut() {
        let image = &service.image;
        if let Some(digest) = image.digest()
            && let Ok(bare) = format!("{}/{}@{digest}", image.registry(), image.repository()).parse()
        {
            service.image = bare;
        }
    }
    project
}

/// Puts the digest behind every plain `image:` value that is one of these.
fn write(text: &str, digests: &BTreeMap<ImageRef, ImageDigest>) -> String {
    let mut written = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let pinned = value(line).and_then(|(before, value, after)| {
            let digest = digests.get(&value.parse::<ImageRef>().ok()?)?;
            Some(format!("{before}{value}@{digest}{after}"))
        });
        written.push_str(pinned.as_deref().unwrap_or(line));
    }
    written
}

/// The value of a line `image: value`, with what stands before and after it.
fn value(line: &str) -> Option<(&str, &str, &str)> {
    let rest = line.trim_start().strip_prefix("image")?.trim_start();
    let rest = rest.strip_prefix(':')?.strip_prefix([' ', '\t'])?.trim_start();
    let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
    let end = rest
        .find(|letter: char| letter.is_whitespace() || "\"'#,{}[]".contains(letter))
        .unwrap_or(rest.len());
    let (value, after) = rest.split_at_checked(end)?;
    let before = line.split_at_checked(line.len() - rest.len())?.0;
    (!value.is_empty()).then_some((before, value, after))
}

async fn find(image: &ImageRef, parts: &Unpinned<'_>) -> Result<(ImageDigest, String)> {
    for archive in parts.archives {
        if let Some(digest) = archived(archive, image)? {
            return Ok((digest, archive.display().to_string()));
        }
    }
    let config = RegistryConfig {
        credentials: parts.credentials.clone(),
        ..RegistryConfig::default()
    };
    let asked = container_runtime::images::resolve(image, &config).await;
    let digest = asked.map_err(|error| match error {
        ImageError::Unreachable { .. } => anyhow::Error::from(Unreachable(format!(
            "{image}: {error}\n  what to do: deploy again when the registry answers, bring the image along \
             (--image-archive), or write its digest into the file"
        ))),
        error => Refused(format!("{image}: {error}")).into(),
    })?;
    Ok((digest, format!("says {}", image.registry())))
}

/// The digest an OCI archive has under this name.
fn archived(archive: &Path, image: &ImageRef) -> Result<Option<ImageDigest>> {
    let about = || format!("image archive {}", archive.display());
    let mut tar = tar::Archive::new(File::open(archive).with_context(about)?);
    for entry in tar.entries().with_context(about)? {
        let entry = entry.with_context(about)?;
        if entry.path().with_context(about)? != Path::new("index.json") {
            continue;
        }
        let mut text = Vec::new();
        entry.take(MAX_INDEX).read_to_end(&mut text).with_context(about)?;
        let index: Value = serde_json::from_slice(&text).with_context(about)?;
        let all = index.get("manifests").and_then(Value::as_array);
        return Ok(all.into_iter().flatten().find_map(|manifest| {
            let names = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
            let named = names.iter().any(|name| {
                let name = manifest.get("annotations").and_then(|all| all.get(name));
                name.and_then(Value::as_str)
                    .and_then(|name| name.parse::<ImageRef>().ok())
                    .is_some_and(|name| name == *image)
            });
            let digest = manifest.get("digest").and_then(Value::as_str);
            digest.filter(|_| named)?.parse().ok()
        }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_value_of_an_image_line_changes() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image: ImageRef = "nginx:1".parse().unwrap();
        let pins = BTreeMap::from([(image, digest.parse().unwrap())]);
        let text = "services:\n  a:\n    image: nginx:1 # kept\n  b:\n    image: \"nginx:1\"\n  c:\n    image : docker.io/library/nginx:1\r\n  \
                    d:\n    image: nginx:${TAG}\n    command: echo image: nginx:1\n  e: {image: nginx:1}\n    image: nginx:12";
        let expected = text
            .replace("    image: nginx:1 #", &format!("    image: nginx:1@{digest} #"))
            .replace("\"nginx:1\"", &format!("\"nginx:1@{digest}\""))
            .replace("library/nginx:1\r", &format!("library/nginx:1@{digest}\r"));
        assert_eq!(write(text, &pins), expected);
    }
}
