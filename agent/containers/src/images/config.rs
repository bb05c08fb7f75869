//! Where images come from and how large they may be. Nothing here is trusted with what an image is: that is the digest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::credentials::Credentials;

/// When a registry is asked about a tag. A reference with a digest that is complete on this machine never asks anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// When the image is not on this machine.
    #[default]
    Missing,
    /// Every time.
    Always,
}

/// Bounds. Compressed sizes are what manifests declare and what is read at most; how large a layer becomes is not known
/// before it is unpacked, so that is bounded by the free space of the disk alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all compressed layers of one image.
    pub compressed: u64,
    /// Layers of one image.
    pub layers: usize,
    /// Layers fetched at once.
    pub parallel: usize,
    /// Bytes of the disk that stay free; a pull that would go below is stopped.
    pub reserve: u64,
    /// Tries of one request before a registry counts as not reachable.
    pub attempts: u32,
    /// Longest wait for a connection, and between two parts of an answer.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            compressed: 32 << 30,
            layers: 127,
            parallel: 3,
            reserve: 32 << 20,
            attempts: 4,
            patience: Duration::from_secs(30),
        }
    }
}

/// Registries, mirrors, credentials.
#[derive(Clone, Debug, Default)]
pub struct RegistryConfig {
    /// Registry host to the URLs of its mirrors (`https://host[:port]`, `http://…`), in the order to ask. A mirror is asked
    /// for what a digest names; a tag is asked of a mirror only with `mirrors_answer_tags`.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Whether a registry that has mirrors is never asked itself.
    pub mirrors_only: bool,
    /// Whether mirrors may say what a tag names. Whoever runs the mirror then chooses the image.
    pub mirrors_answer_tags: bool,
    /// Hosts (`host[:port]`) that are asked over plain http; loopback addresses always are. Whoever is on the way chooses what
    /// a tag names there.
    pub insecure: BTreeSet<String>,
    /// Users and passwords by registry.
    pub credentials: Credentials,
    /// When tags are asked for.
    pub policy: PullPolicy,
    /// Whether references without a digest are used at all.
    pub allow_mutable: bool,
    /// Bounds.
    pub limits: Limits,
}
