//! The documents around layers, and the OCI layout on disk: as a folder and as an archive.

use super::{Image, MediaTypes, layer::gzip};
use crate::containerd::Containerd;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// An image on disk.
#[derive(Debug, Clone)]
pub struct OciLayout {
    /// The layout's folder.
    pub path: PathBuf,
    /// Digest of the manifest, which is what a pinned reference names.
    pub digest: String,
    /// Digest of the configuration.
    pub config: String,
    /// Digests of the compressed layers, the lowest first.
    pub layers: Vec<String>,
    /// Media type of the manifest.
    pub media_type: &'static str,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl MediaTypes {
    fn manifest(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    fn layer(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Docker => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        }
    }
}

impl Image {
    /// Writes the image as an OCI layout into the folder `dir`, which may hold other images' blobs.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn build(&self, dir: &Path) -> Result<OciLayout> {
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("create {}", blobs.display()))?;
        let mut diff_ids = Vec::new();
        let mut layers = Vec::new();
        let mut descriptors = Vec::new();
        for layer in &self.layers {
            let tar = layer.tar()?;
            diff_ids.push(digest(&tar));
            let bytes = gzip(&tar)?;
            let descriptor = put(&blobs, self.media_types.layer(), &bytes)?;
            layers.push(digest(&bytes));
            descriptors.push(descriptor);
        }
        let config = json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": diff_ids.iter().map(|_| json!({"created_by": "container-lab"})).collect::<Vec<_>>(),
        });
        let config = serde_json::to_vec(&config)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": self.media_types.manifest(),
            "config": put(&blobs, self.media_types.config(), &config)?,
            "layers": descriptors,
        });
        let manifest = serde_json::to_vec(&manifest)?;
        let descriptor = put(&blobs, self.media_types.manifest(), &manifest)?;
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [descriptor],
        });
        fs::write(dir.join("index.json"), serde_json::to_vec(&index)?)?;
        Ok(OciLayout {
            path: dir.to_owned(),
            digest: digest(&manifest),
            config: digest(&config),
            layers,
            media_type: self.media_types.manifest(),
        })
    }
}

/// Writes a blob and gives its descriptor.
fn put(blobs: &Path, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let name = digest(bytes);
    fs::write(blobs.join(name.trim_start_matches("sha256:")), bytes)
        .with_context(|| format!("write blob {name}"))?;
    Ok(json!({"mediaType": media_type, "digest": name, "size": bytes.len()}))
}

impl OciLayout {
    /// Bytes of one of its blobs.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        let path = self
            .path
            .join("blobs/sha256")
            .join(digest.trim_start_matches("sha256:"));
        fs::read(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Writes the image as one OCI archive that names it `reference`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn archive(&self, file: &Path, reference: &str) -> Result<()> {
        let manifest = self.blob(&self.digest)?;
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": self.media_type,
                "digest": self.digest,
                "size": manifest.len(),
                "annotations": {"io.containerd.image.name": reference},
            }],
        });
        let out = File::create(file).with_context(|| format!("create {}", file.display()))?;
        let mut builder = tar::Builder::new(out);
        let mut add = |name: &str, bytes: &[u8]| -> Result<()> {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_size(u64::try_from(bytes.len())?);
            Ok(builder.append_data(&mut header, name, bytes)?)
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        add("index.json", &serde_json::to_vec(&index)?)?;
        let mut seen = std::collections::BTreeSet::new();
        for blob in [&self.digest, &self.config].into_iter().chain(&self.layers) {
            if seen.insert(blob) {
                let name = format!("blobs/sha256/{}", blob.trim_start_matches("sha256:"));
                add(&name, &self.blob(blob)?)?;
            }
        }
        builder.finish().context("finish the archive")
    }

    /// Puts the image into a containerd under the name `reference`, unpacked.
    ///
    /// # Errors
    /// When containerd refuses it.
    pub async fn import(&self, containerd: &Containerd, namespace: &str, reference: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new_in(containerd.dir())?;
        self.archive(file.path(), reference)?;
        let path = file.path().to_str().context("the folder's name is not UTF-8")?;
        containerd
            .ctr(namespace, &["images", "import", "--all-platforms", path])
            .await?;
        Ok(())
    }
}
