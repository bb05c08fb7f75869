//! What a tag names now: asked of the registry itself, without a containerd. A mirror is not asked, and what is no manifest or
//! index is refused.

use compose_file::{ImageDigest, ImageRef};
use sha2::{Digest, Sha256};

use super::config::RegistryConfig;
use super::error::ImageError;
use super::manifest::Document;
use super::registry::{Ask, Registries};
use super::source::tag_sources;

/// The digest a reference names: its own, else what its registry says about its tag. Needs TLS's provider to be installed.
///
/// # Errors
/// See [`ImageError`]; "there is none", "you may not" and "could not be asked" are different.
pub async fn resolve(image: &ImageRef, config: &RegistryConfig) -> Result<ImageDigest, ImageError> {
    if let Some(digest) = image.digest() {
        return Ok(digest);
    }
    let registries = Registries::new(config)?;
    let tag = image.tag().unwrap_or("latest");
    let what = format!("{}:{tag}", image.repository());
    let mut last = None;
    for source in tag_sources(image.registry(), config)? {
        let ask = Ask {
            source: &source,
            repository: image.repository(),
            path: &format!("manifests/{tag}"),
            what: &what,
        };
        let bytes = match registries.manifest(ask).await {
            Ok(bytes) => bytes,
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        Document::parse(&bytes).map_err(|source| ImageError::Malformed {
            image: image.to_string(),
            what: "manifest".to_owned(),
            source,
        })?;
        return Ok(ImageDigest::new(Sha256::digest(&bytes).into()));
    }
    Err(last.unwrap_or_else(|| ImageError::Setting {
        what: "registry or mirror",
        expected: "one that may say what a tag names",
        got: image.to_string(),
    }))
}
