//! `os/image.toml`: which files stay, which modules are loaded, what the kernel is told. Unknown keys are refused.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Not TOML of this shape.
    #[error("expected a recipe of the form of os/image.toml: {0}")]
    Shape(#[from] toml::de::Error),
    /// A word of the command line that would be read as two, or as one of the build's own.
    #[error("command_line: expected single words that do not begin with kedge., got {0:?}")]
    Word(String),
}

/// The recipe.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of the image, for requirements of apps.
    pub version: String,
    /// Words of the command line.
    pub command_line: Vec<String>,
    /// Modules the initramfs loads.
    pub modules: Vec<String>,
    /// Shapes of VM the catalogue names.
    pub shapes: Shapes,
    /// The root.
    pub root: Root,
}

/// Every number of vCPUs with every amount of memory.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shapes {
    /// Numbers of vCPUs.
    pub vcpus: Vec<u16>,
    /// Amounts of memory, MiB.
    pub memory_mib: Vec<u64>,
}

/// What the root holds beside whole packages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Beginnings of paths that are left out.
    pub without: Vec<String>,
    /// Folders that are made.
    pub folders: Vec<String>,
    /// Links that are made, with their targets.
    pub links: BTreeMap<String, String>,
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(text)?;
        let bad = |word: &&String| {
            word.is_empty() || word.starts_with("kedge.") || word.chars().any(|c| !c.is_ascii_graphic())
        };
        match recipe.command_line.iter().find(bad) {
            Some(word) => Err(RecipeError::Word(word.clone())),
            None => Ok(recipe),
        }
    }

    /// Whether a package's file belongs in the root.
    #[must_use]
    pub fn wants(&self, path: &str) -> bool {
        // Debian's scripts would move what stands at the old names; the tree's links do.
        let path = path.strip_prefix("./").unwrap_or(path);
        !self.root.without.iter().any(|without| {
            path.starts_with(without.as_str())
                || without.strip_suffix('/') == Some(path)
                || without.strip_suffix('+') == Some(path)
        })
    }
}
