//! `os/image.toml`: which files stay, which modules are loaded, what the kernel is told. Unknown keys are refused.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Not TOML of this shape.
    #[error("expected a recipe of the form of os/image.toml")]
    Shape(#[from] toml::de::Error),
    /// A word of the command line that would be read as two, or as one of the build's own.
    #[error("command_line: expected single words that do not begin with kedge., got {0:?}")]
    Word(String),
}

/// Where packages put programs.
const PROGRAM_FOLDERS: [&str; 7] = [
    "bin/",
    "sbin/",
    "usr/bin/",
    "usr/sbin/",
    "usr/libexec/",
    "usr/lib/cni/",
    "usr/games/",
];

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
    /// Packages' programs that stay, by their paths; every other one is left out.
    pub programs: Vec<String>,
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
        let program = PROGRAM_FOLDERS
            .iter()
            .any(|folder| path.strip_prefix(folder).is_some_and(|name| !name.is_empty()));
        // G7: a package's next version must not bring another program, or a login, into the guest unseen.
        if program && !self.root.programs.iter().any(|known| known == path) {
            return false;
        }
        !self.root.without.iter().any(|without| {
            path.starts_with(without.as_str())
                || without.strip_suffix('/') == Some(path)
                || without.strip_suffix('+') == Some(path)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn recipe() -> Recipe {
        Recipe::parse(
            r#"
            version = "1"
            command_line = ["quiet"]
            modules = []
            [shapes]
            vcpus = [1]
            memory_mib = [1024]
            [root]
            without = ["usr/share/doc/"]
            programs = ["usr/bin/bash", "usr/lib/cni/bridge"]
            folders = []
            links = {}
            "#,
        )
        .unwrap()
    }

    #[test]
    fn only_programs_of_the_list_stay() {
        let recipe = recipe();
        for path in [
            "usr/bin/bash",
            "./usr/bin/bash",
            "usr/lib/cni/bridge",
            "usr/bin",
            "usr/bin/",
            "usr/lib/libc.so.6",
        ] {
            assert!(recipe.wants(path), "{path}");
        }
        for path in [
            "usr/bin/bashbug",
            "usr/bin/su",
            "bin/bash",
            "usr/sbin/bash",
            "usr/libexec/bash",
            "usr/lib/cni/dhcp",
            "usr/share/doc/bash",
        ] {
            assert!(!recipe.wants(path), "{path}");
        }
    }
}
