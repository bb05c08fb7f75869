//! What can be wrong with a configuration, and all of it together.

use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// File or variable.
        origin: String,
        /// What the parser says.
        message: String,
    },
    /// A section that cannot be read: unknown key, wrong type, missing value.
    #[error("[{section}] {message}")]
    Section {
        /// Name of the section.
        section: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value that is not acceptable.
    #[error("{key}: expected {expected}, got {actual}")]
    Value {
        /// `section.key`.
        key: &'static str,
        /// What is acceptable.
        expected: &'static str,
        /// What is there.
        actual: String,
    },
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {} problem(s)\n{}", .0.len(), lines(.0))]
pub struct ConfigError(pub Vec<ConfigProblem>);

fn lines(problems: &[ConfigProblem]) -> String {
    problems.iter().map(|problem| format!("  {problem}\n")).collect()
}
