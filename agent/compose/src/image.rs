//! Image references: `[registry/]repository[:tag][@sha256:…]`. Refuses other digests than SHA-256, upper case repositories and
//! references over 512 characters. Without a registry it is Docker Hub, as everywhere.

use crate::names::NameError;
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Characters of a reference.
pub const MAX_REFERENCE: usize = 512;

const EXPECTED: &str = "an image reference: [registry/]repository[:tag][@sha256:<64 hex digits>]";
const HUB: &str = "docker.io";

/// SHA-256 of an image's manifest or index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest([u8; 32]);

impl ImageDigest {
    /// A digest from its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for ImageDigest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = || NameError::new("an image digest: sha256:<64 lower case hex digits>", text);
        let hex = text.strip_prefix("sha256:").ok_or_else(fail)?.as_bytes();
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return Err(fail());
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let mut value = 0;
            for digit in pair {
                value = value << 4
                    | match digit {
                        b'0'..=b'9' => digit - b'0',
                        b'a'..=b'f' => digit - b'a' + 10,
                        _ => return Err(fail()),
                    };
            }
            *byte = value;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for ImageDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// An image reference, complete: registry and repository are always there; without a digest there is a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<ImageDigest>,
}

impl ImageRef {
    /// Host and port, `docker.io` when none was written.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path below the registry, such as `library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when neither tag nor digest was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which names the content itself.
    pub fn digest(&self) -> Option<ImageDigest> {
        self.digest
    }

    /// Whether the same reference may name another content tomorrow.
    pub fn is_mutable(&self) -> bool {
        self.digest.is_none()
    }

    /// The same image, pinned.
    pub fn with_digest(mut self, digest: ImageDigest) -> Self {
        self.digest = Some(digest);
        self
    }
}

fn is_registry(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.chars().any(|c| c.is_ascii_uppercase())
}

fn registry_is_well_formed(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let port_is_well_formed = port.is_none_or(|port| {
        (1..=5).contains(&port.len())
            && port.chars().all(|c| c.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    port_is_well_formed
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
}

fn component_is_well_formed(component: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = component.split(edge).filter(|separator| !separator.is_empty());
    component.starts_with(edge)
        && component.ends_with(edge)
        && separators
            .into_iter()
            .all(|s| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

fn tag_is_well_formed(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

impl FromStr for ImageRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = || NameError::new(EXPECTED, text);
        if text.len() > MAX_REFERENCE {
            return Err(fail());
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<ImageDigest>()?)),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest),
            _ => (HUB, name),
        };
        let registry = if registry == "index.docker.io" {
            HUB
        } else {
            registry
        };
        let repository = match path.contains('/') || registry != HUB {
            true => path.to_owned(),
            false => format!("library/{path}"),
        };
        let sound = registry_is_well_formed(registry)
            && repository.split('/').all(component_is_well_formed)
            && tag.is_none_or(tag_is_well_formed);
        if !sound {
            return Err(fail());
        }
        let tag = tag.or_else(|| digest.is_none().then_some("latest"));
        Ok(Self {
            registry: registry.to_ascii_lowercase(),
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(out, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(out, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for ImageRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
