//! Image documents: index, manifest and configuration, as OCI and Docker write them. Pure: bytes in, a checked value out.
//! Refuses other digests than SHA-256, documents that are index and manifest at once, layers that live elsewhere, other
//! platforms than linux/amd64 and anything over its bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use compose_file::ImageDigest;
use serde::Deserialize;

/// Bytes of an index, a manifest or a configuration.
pub const MAX_DOCUMENT: usize = 4 * 1024 * 1024;
/// Entries of an index.
pub const MAX_ENTRIES: usize = 256;
/// Layers a document may list at all; settings may allow fewer.
pub const MAX_LAYERS: usize = 512;

/// Media type of an OCI manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a manifest as Docker names it.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of an index as Docker names it.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

const CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];
const LAYERS: [&str; 5] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, got {got}")]
pub struct MalformedDocument {
    /// Place in the document.
    pub field: &'static str,
    /// The form it must have.
    pub expected: &'static str,
    /// What came, cut to what a line can show.
    pub got: String,
}

fn wrong(field: &'static str, expected: &'static str, got: impl ToString) -> MalformedDocument {
    let got = got.to_string().chars().take(160).collect();
    MalformedDocument { field, expected, got }
}

/// A part of an image: what it is, its digest and its exact size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// One of the media types above or of a layer or configuration.
    pub media_type: String,
    /// Digest of its bytes.
    pub digest: ImageDigest,
    /// Number of its bytes.
    pub size: u64,
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Points at the manifest for this platform.
    Index {
        /// Its media type.
        media_type: &'static str,
        /// The manifest, or another index.
        chosen: Descriptor,
    },
    /// Describes one image.
    Manifest {
        /// Its media type.
        media_type: &'static str,
        /// The configuration.
        config: Descriptor,
        /// The layers, the lowest first.
        layers: Vec<Descriptor>,
    },
}

#[derive(Deserialize)]
struct RawDocument {
    #[serde(rename = "schemaVersion")]
    schema: u64,
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    manifests: Option<Vec<RawDescriptor>>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    #[serde(rename = "fsLayers")]
    first_generation: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct RawDescriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
    urls: Option<Vec<String>>,
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl Document {
    /// Reads an index or a manifest.
    ///
    /// # Errors
    /// When it is neither, or both, or over a bound.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedDocument> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(wrong(
                "document",
                "at most 4 MiB",
                format!("{} bytes", bytes.len()),
            ));
        }
        let raw: RawDocument = serde_json::from_slice(bytes)
            .map_err(|error| wrong("document", "a manifest or an index", error))?;
        if raw.schema != 2 || raw.first_generation.is_some() {
            return Err(wrong("schemaVersion", "2", raw.schema));
        }
        let named = raw.media_type.as_deref();
        // The same bytes must not be an image to one reader and an index to another.
        match (raw.manifests, raw.config, raw.layers) {
            (Some(entries), None, None) => Ok(Self::Index {
                media_type: media_type(named, [OCI_INDEX, DOCKER_INDEX])?,
                chosen: choose(&entries)?,
            }),
            (None, Some(config), Some(layers)) => Ok(Self::Manifest {
                media_type: media_type(named, [OCI_MANIFEST, DOCKER_MANIFEST])?,
                config: part("config", &config, &CONFIGS)?,
                layers: layers_of(&layers)?,
            }),
            _ => Err(wrong(
                "document",
                "either `manifests`, or `config` and `layers`",
                "another set of fields",
            )),
        }
    }

    /// Its media type.
    pub fn media_type(&self) -> &'static str {
        match self {
            Self::Index { media_type, .. } | Self::Manifest { media_type, .. } => media_type,
        }
    }
}

fn media_type(named: Option<&str>, known: [&'static str; 2]) -> Result<&'static str, MalformedDocument> {
    let [oci, docker] = known;
    match named {
        // OCI documents need not name their own type.
        None => Ok(oci),
        Some(name) if name == oci => Ok(oci),
        Some(name) if name == docker => Ok(docker),
        Some(name) => Err(wrong("mediaType", "the type of the fields that are there", name)),
    }
}

fn layers_of(layers: &[RawDescriptor]) -> Result<Vec<Descriptor>, MalformedDocument> {
    if layers.is_empty() || layers.len() > MAX_LAYERS {
        return Err(wrong("layers", "1 to 512", layers.len()));
    }
    layers
        .iter()
        .map(|layer| part("layers", layer, &LAYERS))
        .collect()
}

fn part(field: &'static str, raw: &RawDescriptor, types: &[&str]) -> Result<Descriptor, MalformedDocument> {
    if !types.contains(&raw.media_type.as_str()) {
        return Err(wrong(field, "a media type of an image", &raw.media_type));
    }
    // Whoever wrote the manifest would otherwise choose whom this machine asks.
    if raw.urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
        return Err(wrong(field, "bytes of the same registry", "urls of other places"));
    }
    let digest = raw
        .digest
        .parse()
        .map_err(|_| wrong(field, "sha256:<64 hex digits>", &raw.digest))?;
    Ok(Descriptor {
        media_type: raw.media_type.clone(),
        digest,
        size: raw.size,
    })
}

/// The entry for linux/amd64. An index of one entry without a platform is that entry.
fn choose(entries: &[RawDescriptor]) -> Result<Descriptor, MalformedDocument> {
    if entries.is_empty() || entries.len() > MAX_ENTRIES {
        return Err(wrong("manifests", "1 to 256", entries.len()));
    }
    let fits = |entry: &&RawDescriptor| match &entry.platform {
        None => entries.len() == 1,
        Some(platform) => {
            platform.os.as_deref() == Some("linux")
                && platform.architecture.as_deref() == Some("amd64")
                && matches!(platform.variant.as_deref(), None | Some("" | "v1"))
        }
    };
    let chosen = entries
        .iter()
        .find(fits)
        .ok_or_else(|| wrong("manifests", "one for linux/amd64", platforms(entries)))?;
    let descriptor = part(
        "manifests",
        chosen,
        &[OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX],
    )?;
    if descriptor.size > MAX_DOCUMENT as u64 {
        return Err(wrong("manifests", "a document of at most 4 MiB", descriptor.size));
    }
    Ok(descriptor)
}

fn platforms(entries: &[RawDescriptor]) -> String {
    let names = entries.iter().map(|entry| match &entry.platform {
        None => "none".to_owned(),
        Some(platform) => format!(
            "{}/{}",
            platform.os.as_deref().unwrap_or("?"),
            platform.architecture.as_deref().unwrap_or("?")
        ),
    });
    names.take(8).collect::<Vec<_>>().join(", ")
}

/// What an image says about its process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments, which a service may replace.
    pub command: Vec<String>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
    /// User, by name or number, with or without a group.
    pub user: String,
    /// Working directory; empty is `/`.
    pub working_dir: String,
    /// Paths that are volumes when nothing is mounted there.
    pub volumes: Vec<String>,
    /// Ports the image says it listens on, as `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// Signal that asks the process to end.
    pub stop_signal: Option<String>,
    /// Health check.
    pub health: Option<HealthConfig>,
    /// Digests of the unpacked layers, the lowest first.
    pub layers: Vec<ImageDigest>,
}

/// An image's health check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthConfig {
    /// `CMD`, `CMD-SHELL` or `NONE`, then words.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: Option<Duration>,
    /// For one check.
    pub timeout: Option<Duration>,
    /// After the start, while failures do not count.
    pub start_period: Option<Duration>,
    /// Between two checks in that time.
    pub start_interval: Option<Duration>,
    /// Failures in a row until it is unhealthy.
    pub retries: Option<u32>,
}

#[derive(Deserialize)]
struct RawConfig {
    architecture: String,
    os: String,
    rootfs: RawRootfs,
    config: Option<RawProcess>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawProcess {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    volumes: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    exposed_ports: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    stop_signal: Option<String>,
    healthcheck: Option<RawHealth>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawHealth {
    test: Option<Vec<String>>,
    interval: Option<u64>,
    timeout: Option<u64>,
    start_period: Option<u64>,
    start_interval: Option<u64>,
    retries: Option<u32>,
}

impl ImageConfig {
    /// Reads the configuration of an image of `layers` layers.
    ///
    /// # Errors
    /// When it is not one, is for another platform or does not fit the manifest.
    pub fn parse(bytes: &[u8], layers: usize) -> Result<Self, MalformedDocument> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(wrong(
                "configuration",
                "at most 4 MiB",
                format!("{} bytes", bytes.len()),
            ));
        }
        let raw: RawConfig = serde_json::from_slice(bytes)
            .map_err(|error| wrong("configuration", "an image's configuration", error))?;
        if (raw.os.as_str(), raw.architecture.as_str()) != ("linux", "amd64") {
            return Err(wrong(
                "platform",
                "linux/amd64",
                format!("{}/{}", raw.os, raw.architecture),
            ));
        }
        if raw.rootfs.kind != "layers" {
            return Err(wrong("rootfs.type", "layers", raw.rootfs.kind));
        }
        if raw.rootfs.diff_ids.len() != layers {
            let got = format!("{} for {layers} layers", raw.rootfs.diff_ids.len());
            return Err(wrong("rootfs.diff_ids", "one for each layer", got));
        }
        let digest = |text: &String| {
            text.parse()
                .map_err(|_| wrong("rootfs.diff_ids", "sha256:<64 hex digits>", text))
        };
        let unpacked: Result<Vec<ImageDigest>, _> = raw.rootfs.diff_ids.iter().map(digest).collect();
        raw.config.unwrap_or_default().checked(unpacked?)
    }

    /// Name of the snapshot that has all layers.
    pub fn chain_id(&self) -> Option<ImageDigest> {
        chain_ids(&self.layers).pop()
    }
}

impl RawProcess {
    fn checked(self, layers: Vec<ImageDigest>) -> Result<ImageConfig, MalformedDocument> {
        let mut environment = BTreeMap::new();
        for line in self.env.unwrap_or_default() {
            let (name, value) = line
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| wrong("Env", "NAME=value", &line))?;
            environment.insert(no_nul("Env", name.to_owned())?, no_nul("Env", value.to_owned())?);
        }
        let volumes: Vec<String> = self.volumes.unwrap_or_default().into_keys().collect();
        if let Some(path) = volumes
            .iter()
            .find(|path| !path.starts_with('/') || path.contains('\0'))
        {
            return Err(wrong("Volumes", "absolute paths", path));
        }
        let working_dir = no_nul("WorkingDir", self.working_dir.unwrap_or_default())?;
        Ok(ImageConfig {
            entrypoint: no_nuls("Entrypoint", self.entrypoint)?,
            command: no_nuls("Cmd", self.cmd)?,
            environment,
            user: no_nul("User", self.user.unwrap_or_default())?,
            working_dir,
            volumes,
            exposed_ports: self.exposed_ports.unwrap_or_default().into_keys().collect(),
            stop_signal: self.stop_signal.filter(|signal| !signal.is_empty()),
            health: self.healthcheck.map(RawHealth::checked).transpose()?,
            layers,
        })
    }
}

impl RawHealth {
    fn checked(self) -> Result<HealthConfig, MalformedDocument> {
        // Zero means "as usual" in these documents.
        let time = |nanos: Option<u64>| nanos.filter(|nanos| *nanos > 0).map(Duration::from_nanos);
        Ok(HealthConfig {
            test: no_nuls("Healthcheck", self.test)?,
            interval: time(self.interval),
            timeout: time(self.timeout),
            start_period: time(self.start_period),
            start_interval: time(self.start_interval),
            retries: self.retries.filter(|retries| *retries > 0),
        })
    }
}

/// A zero byte would end the text early where the kernel reads it.
fn no_nul(field: &'static str, text: String) -> Result<String, MalformedDocument> {
    if text.contains('\0') {
        return Err(wrong(field, "text without zero bytes", text.escape_debug()));
    }
    Ok(text)
}

fn no_nuls(field: &'static str, words: Option<Vec<String>>) -> Result<Vec<String>, MalformedDocument> {
    let words = words.unwrap_or_default();
    words.into_iter().map(|word| no_nul(field, word)).collect()
}

/// Names of the snapshots of the layers, each over the one before (OCI image specification, "Layer ChainID").
pub fn chain_ids(layers: &[ImageDigest]) -> Vec<ImageDigest> {
    use sha2::{Digest, Sha256};
    let mut chain: Vec<ImageDigest> = Vec::with_capacity(layers.len());
    for layer in layers {
        let next = match chain.last() {
            None => *layer,
            Some(below) => ImageDigest::new(Sha256::digest(format!("{below} {layer}")).into()),
        };
        chain.push(next);
    }
    chain
}
